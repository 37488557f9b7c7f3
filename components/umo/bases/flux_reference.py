"""FLUX with reference pictures, UNO's way; the embedded base is the same class in small.

Kept from UNO: references are clean latents that share the target's input projection and follow it
in the image stream, `[target | reference 1 | ... | reference N]`; reference `k` starts at the lower
right corner of everything before it (diagonal position ids); the velocity is `noise - data`; the
sigmas are shifted by `mu = 0.5 + 0.65 * (n - 256) / 3840` with `n = (width/8) * (height/8) / 256`,
in training with `n` tokens. A fresh LoRA is one of the fused projection of queries, keys and
values, so that what is trained has UNO's own form and rank.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import torch
from diffusers import AutoencoderDC, AutoencoderKL, FlowMatchEulerDiscreteScheduler
from diffusers import FluxTransformer2DModel as Transformer
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoTokenizer, CLIPTextModel, PreTrainedTokenizerBase, T5EncoderModel
from transformers.utils import logging

from umo.bases.kl import to_latents, to_pictures
from umo.bases.layout import Layout
from umo.bases.lora import PeftLora
from umo.bases.protocol import LEVELS, TOKEN, Conditioning, check_size, device_of, slots_of
from umo.bases.references import UnoLayout
from umo.errors import NotFoundError, UsageError
from umo.files import read_manifest
from umo.formats import uno
from umo.formats.lora import DIFFUSERS, Lora

logging.disable_progress_bar()

PATCH = 2
"""Latents on a side of a token."""
ATTENTION = ("to_q", "to_k", "to_v")
CONTEXT_ATTENTION = ("add_q_proj", "add_k_proj", "add_v_proj")


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The components of a diffusers FLUX folder, by their folder names."""

    transformer: Transformer
    vae: AutoencoderDC | AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: PreTrainedTokenizerBase
    text_encoder_2: T5EncoderModel
    tokenizer_2: PreTrainedTokenizerBase
    scheduler: FlowMatchEulerDiscreteScheduler


class FluxReference(PeftLora):
    """A FLUX model with references (a `ReferenceModel`).

    Args:
        parts: The components.
        name: What to call it.
        digest: sha256 of the base weights.
    """

    lora_names = DIFFUSERS
    layout: Layout = UnoLayout()

    def __init__(self, parts: Parts, *, name: str, digest: str) -> None:
        self.parts = parts
        self.name = name
        self.digest = digest
        self.transformer: nn.Module = parts.transformer
        for module in (*self.large, parts.vae):
            module.requires_grad_(False).eval()

    @classmethod
    def load(cls, folder: Path, *, dtype: torch.dtype = torch.float32) -> Self:
        """Read a diffusers folder that has a umo manifest.

        Args:
            folder: The folder.
            dtype: Of the transformer's weights; the text encoders keep that of their files, the
                autoencoder has float32.

        Raises:
            NotFoundError: It has no manifest, or lacks a component.
            UsageError: A component cannot be read.
            DiffersError: A file is not the one that the manifest names.
        """
        manifest = read_manifest(folder, verify=True)
        classes: dict[str, Any] = {
            "transformer": Transformer,
            "vae": _autoencoder_class(folder),
            "text_encoder": CLIPTextModel,
            "tokenizer": AutoTokenizer,
            "text_encoder_2": T5EncoderModel,
            "tokenizer_2": AutoTokenizer,
            "scheduler": FlowMatchEulerDiscreteScheduler,
        }
        parts = {}
        for name, part in classes.items():
            if not (folder / name).is_dir():
                raise NotFoundError(f"{folder} is no base: it has no {name} folder")
            try:
                options = {"dtype": dtype} if name == "transformer" else {}
                parts[name] = part.from_pretrained(folder / name, local_files_only=True, **options)
            except (OSError, ValueError, SafetensorError) as error:
                reason = " ".join(str(error).split())
                raise UsageError(f"{folder / name} cannot be read: {reason}") from error
        return cls(Parts(**parts), name=manifest["name"], digest=manifest["digest"])

    def save(self, folder: Path) -> None:
        """Write the components as a diffusers folder (without a manifest)."""
        index: dict[str, Any] = {"_class_name": "FluxPipeline"}
        for field in fields(self.parts):
            part = getattr(self.parts, field.name)
            part.save_pretrained(folder / field.name)
            library = type(part).__module__.split(".")[0]
            index[field.name] = [library, type(part).__name__]
        (folder / "model_index.json").write_text(json.dumps(index, indent=1) + "\n")

    @property
    def large(self) -> tuple[nn.Module, ...]:
        """The transformer, CLIP and T5."""
        return self.transformer, self.parts.text_encoder, self.parts.text_encoder_2

    @property
    def decoder(self) -> nn.Module:
        """The autoencoder's decoder."""
        decoder: nn.Module = self.parts.vae.decoder
        return decoder

    def to(self, device: torch.device) -> None:
        """Move every part to a device."""
        for module in (*self.large, self.parts.vae):
            module.to(device)

    @torch.no_grad()
    def encode(
        self, prompts: Sequence[str], references: Sequence[Sequence[Tensor]]
    ) -> Conditioning:
        """Encode prompts and, for each, its reference pictures (float `[3,h,w]`, -1..1)."""
        by_slot = slots_of(references)
        text, pooled = self.encode_text(prompts)
        slots = (torch.stack(slot).to(text.device) for slot in by_slot)
        encoded = tuple(self.encode_images(slot) for slot in slots)
        return Conditioning(text=text, pooled=pooled, references=encoded)

    def encode_text(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """T5 features `[B,L,D]` without a mask, as FLUX has it, and CLIP's pooled `[B,P]`."""
        parts = self.parts
        device = device_of(parts.text_encoder)

        def tokens(tokenizer: PreTrainedTokenizerBase, most: int) -> Tensor:
            length = min(tokenizer.model_max_length, most)
            encoded = tokenizer(
                list(prompts),
                padding="max_length",
                truncation=True,
                max_length=length,
                return_tensors="pt",
            )
            ids: Tensor = encoded["input_ids"].to(device)
            return ids

        text = parts.text_encoder_2(tokens(parts.tokenizer_2, 512)).last_hidden_state
        pooled = parts.text_encoder(tokens(parts.tokenizer, 77)).pooler_output
        return text, pooled

    @torch.no_grad()
    def encode_images(self, images: Tensor) -> Tensor:
        """Latents `[B,C,h,w]` of pictures `[B,3,H,W]` in -1..1; the mean of the posterior."""
        return to_latents(self.parts.vae, images)

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures `[B,3,H,W]`, about -1..1 and never clamped, with gradient."""
        return to_pictures(self.parts.vae, latents)

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """`(C,h,w)` of the latents of a picture of `height` x `width` pixels.

        Raises:
            UsageError: A side is no multiple of 16 px.
        """
        check_size(height, width)
        channels = self.parts.transformer.config["in_channels"] // PATCH**2
        return channels, height // 8, width // 8

    def sigmas(self, steps: int, height: int, width: int) -> Tensor:
        """Shifted sigmas `[steps+1]` from 1 to 0."""
        return uno_sigmas(steps, height, width)

    def training_sigmas(self, height: int, width: int) -> Tensor:
        """UNO's `LEVELS` sigmas of its loss, from 1 to 0, both included."""
        return _shifted(LEVELS - 1, (height // TOKEN) * (width // TOKEN))

    def velocity(
        self, latents: Tensor, sigma: Tensor, conditioning: Conditioning, *, guidance: float
    ) -> Tensor:
        """Velocity `[B,C,h,w]` at `sigma` `[B]`; `guidance` is FLUX's embedded scalar."""
        images = (latents, *conditioning.references)
        _, _, height, width = latents.shape
        embeds = self.parts.transformer.config["guidance_embeds"]
        output = self.transformer(
            hidden_states=torch.cat([pack(image) for image in images], dim=1),
            encoder_hidden_states=conditioning.text.to(latents.dtype),
            pooled_projections=conditioning.pooled.to(latents.dtype),
            timestep=sigma.to(latents.dtype),
            guidance=torch.full_like(sigma, guidance) if embeds else None,
            img_ids=position_ids([image.shape[-2:] for image in images]).to(latents.device),
            txt_ids=latents.new_zeros(conditioning.text.shape[1], 3),
            return_dict=False,
        )[0]
        tokens = (height // PATCH) * (width // PATCH)
        return unpack(output[:, :tokens], height, width)

    def lora_targets(self) -> list[str]:
        """UNO's: attention of every block, and the output of the single blocks, by full name."""
        return lora_targets(self.parts.transformer)

    def fused_layers(self) -> list[tuple[str, ...]]:
        """UNO's: queries, keys and values of each stream."""
        return list(uno.fused_layers(self.lora_targets()).values())

    def read_lora(self, tensors: Mapping[str, Tensor]) -> Lora:
        """The LoRA of a file's tensors, with diffusers' keys or with UNO's.

        Raises:
            DiffersError: A key is missing, unexpected or of another shape; it names the keys.
        """
        return uno.read_any(tensors, self.lora_sizes())


def uno_sigmas(steps: int, height: int, width: int) -> Tensor:
    """UNO's shifted sigmas `[steps+1]` from 1 to 0 for a picture of `height` x `width` px."""
    return _shifted(steps, (width // 8) * (height // 8) // 256)


def _shifted(steps: int, n: int) -> Tensor:
    shift = math.exp(0.5 + 0.65 * (n - 256) / 3840)
    sigma = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    return (shift * sigma / (1 + (shift - 1) * sigma)).float()


def lora_targets(transformer: Transformer) -> list[str]:
    """Names of the layers that UNO adapts."""
    targets = []
    for block in range(transformer.config["num_layers"]):
        names = (*ATTENTION, *CONTEXT_ATTENTION, "to_out.0", "to_add_out")
        targets += [f"transformer_blocks.{block}.attn.{name}" for name in names]
    for block in range(transformer.config["num_single_layers"]):
        prefix = f"single_transformer_blocks.{block}"
        targets += [f"{prefix}.attn.{name}" for name in ATTENTION] + [f"{prefix}.proj_out"]
    return targets


def pack(latents: Tensor) -> Tensor:
    """Tokens `[B,(h/2)(w/2),4C]` of latents `[B,C,h,w]`, row by row; the channel varies slowest."""
    batch, channels, height, width = latents.shape
    grid = latents.reshape(batch, channels, height // PATCH, PATCH, width // PATCH, PATCH)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, channels * PATCH**2)


def unpack(tokens: Tensor, height: int, width: int) -> Tensor:
    """Latents `[B,C,h,w]` of tokens `[B,(h/2)(w/2),4C]`."""
    batch = tokens.shape[0]
    grid = tokens.reshape(batch, height // PATCH, width // PATCH, -1, PATCH, PATCH)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(batch, -1, height, width)


def position_ids(sizes: Sequence[Sequence[int]]) -> Tensor:
    """Position ids `[S,3]` of the target and its references, from their latents' heights, widths.

    Each picture starts at the lower right corner of the one before it.
    """
    ids, top, left = [], 0, 0
    for height, width in sizes:
        rows, columns = height // PATCH, width // PATCH
        grid = torch.zeros(rows, columns, 3)
        grid[..., 1] = top + torch.arange(rows)[:, None]
        grid[..., 2] = left + torch.arange(columns)[None, :]
        ids.append(grid.reshape(-1, 3))
        top, left = top + rows, left + columns
    return torch.cat(ids)


def _autoencoder_class(folder: Path) -> type:
    try:
        name = json.loads((folder / "vae" / "config.json").read_text())["_class_name"]
    except (OSError, ValueError, KeyError):
        raise NotFoundError(f"{folder} is no base: it has no vae/config.json") from None
    known: dict[str, type] = {cls.__name__: cls for cls in (AutoencoderDC, AutoencoderKL)}
    if name not in known:
        raise UsageError(f"{folder} has a {name}, known autoencoders are {', '.join(known)}")
    return known[name]
