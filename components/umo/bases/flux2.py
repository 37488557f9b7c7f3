"""FLUX.2 [klein] with reference pictures, as its own diffusers pipeline attaches them.

References are clean latents that follow the target in the image stream; reference `k` (from 1) has
the time coordinate `10 k`, the target 0. The velocity is `noise - data`. Latents are patches of
2 x 2 of the autoencoder's, normalised by its running statistics: one of them is one token. The
distilled model takes no guidance; the other one guides away from the empty prompt.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
)
from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu
from safetensors import SafetensorError
from torch import Tensor, nn

from umo.bases.flux2_pictures import Flux2Layout
from umo.bases.lora import PeftLora
from umo.bases.protocol import LEVELS, TOKEN, Conditioning, check_size, device_of, slots_of
from umo.errors import UsageError
from umo.files import read_manifest
from umo.formats.lora import DIFFUSERS, Lora, read_diffusers

MOST_STEPS = 200
"""The published shift is a line through 10 and 200 steps; finer tables take that of 200."""
DOUBLE = (
    *("to_q", "to_k", "to_v", "to_out.0"),
    *("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"),
)
SINGLE = ("to_qkv_mlp_proj", "to_out")


class Flux2Reference(PeftLora):
    """A FLUX.2 model with references (a `ReferenceModel`).

    Args:
        pipeline: With its components.
        name: What to call it.
        digest: sha256 of the base weights.
    """

    lora_names = DIFFUSERS

    def __init__(self, pipeline: Flux2KleinPipeline, *, name: str, digest: str) -> None:
        self.pipeline = pipeline
        self.name = name
        self.digest = digest
        self.transformer: nn.Module = pipeline.transformer
        self.layout = Flux2Layout()
        for module in (*self.large, pipeline.vae):
            module.requires_grad_(False).eval()

    @classmethod
    def load(cls, folder: Path, *, dtype: torch.dtype = torch.float32) -> "Flux2Reference":
        """Read a diffusers folder that has a umo manifest.

        Args:
            folder: The folder.
            dtype: Of the transformer's weights; the language model keeps that of its files, the
                autoencoder has float32.

        Raises:
            NotFoundError: It has no manifest.
            UsageError: A component is missing or cannot be read.
            DiffersError: A file is not the one that the manifest names.
        """
        manifest = read_manifest(folder, verify=True)
        try:
            pipeline = Flux2KleinPipeline.from_pretrained(
                folder,
                local_files_only=True,
                dtype={"transformer": dtype, "vae": torch.float32, "text_encoder": "auto"},
            )
        except (OSError, ValueError, SafetensorError) as error:
            reason = " ".join(str(error).split())
            raise UsageError(f"{folder} cannot be read: {reason}") from error
        return cls(pipeline, name=manifest["name"], digest=manifest["digest"])

    def save(self, folder: Path) -> None:
        """Write the components as a diffusers folder (without a manifest)."""
        self.pipeline.save_pretrained(folder)

    @property
    def large(self) -> tuple[nn.Module, ...]:
        """The transformer and the language model."""
        return self.transformer, self.pipeline.text_encoder

    @property
    def decoder(self) -> nn.Module:
        """The autoencoder's decoder."""
        decoder: nn.Module = self.pipeline.vae.decoder
        return decoder

    def to(self, device: torch.device) -> None:
        """Move every part to a device."""
        for module in (*self.large, self.pipeline.vae):
            module.to(device)

    @torch.no_grad()
    def encode(
        self, prompts: Sequence[str], references: Sequence[Sequence[Tensor]]
    ) -> Conditioning:
        """Encode prompts and, for each, its reference pictures (float `[3,h,w]`, -1..1)."""
        by_slot = slots_of(references)
        text = self._encode_text(prompts)
        slots = (torch.stack(slot).to(text.device) for slot in by_slot)
        return Conditioning(
            text=text,
            pooled=text.new_zeros(len(text), 0),
            references=tuple(self.encode_images(slot) for slot in slots),
        )

    @torch.no_grad()
    def encode_images(self, images: Tensor) -> Tensor:
        """Latents `[B,C,h,w]` of pictures `[B,3,H,W]` in -1..1; the mode of the posterior."""
        raw = self.pipeline.vae.encode(images).latent_dist.mode()
        mean, deviation = self._statistics
        return (nn.functional.pixel_unshuffle(raw, 2) - mean) / deviation

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures `[B,3,H,W]`, about -1..1 and never clamped, with gradient."""
        mean, deviation = self._statistics
        raw = nn.functional.pixel_shuffle(latents * deviation + mean, 2)
        pictures: Tensor = self.pipeline.vae.decode(raw).sample
        return pictures

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """`(C,h,w)` of the latents of a picture of `height` x `width` pixels.

        Raises:
            UsageError: A side is no multiple of 16 px.
        """
        check_size(height, width)
        return self.pipeline.transformer.config["in_channels"], height // TOKEN, width // TOKEN

    def sigmas(self, steps: int, height: int, width: int) -> Tensor:
        """Shifted sigmas `[steps+1]` from 1 to 0."""
        tokens = (height // TOKEN) * (width // TOKEN)
        scheduler = FlowMatchEulerDiscreteScheduler.from_config(self.pipeline.scheduler.config)
        scheduler.set_timesteps(
            sigmas=torch.linspace(1, 1 / steps, steps).tolist(),
            mu=compute_empirical_mu(tokens, min(steps, MOST_STEPS)),
        )
        sigmas: Tensor = scheduler.sigmas
        return sigmas

    def training_sigmas(self, height: int, width: int) -> Tensor:
        """`LEVELS` sigmas from 1 to 0: those of a roll-out, since no training code is published."""
        return self.sigmas(LEVELS - 1, height, width)

    def velocity(
        self, latents: Tensor, sigma: Tensor, conditioning: Conditioning, *, guidance: float
    ) -> Tensor:
        """Velocity `[B,C,h,w]` at `sigma` `[B]`; above 1 `guidance` is classifier-free."""
        seen = self._velocity(latents, sigma, conditioning.text, conditioning.references)
        if guidance <= 1 or self.pipeline.config["is_distilled"]:
            return seen
        empty = self._empty.expand(len(latents), -1, -1)
        unseen = self._velocity(latents, sigma, empty, conditioning.references)
        return unseen + guidance * (seen - unseen)

    def lora_targets(self) -> list[str]:
        """Attention of every block by full name; single blocks fuse it with their MLP."""
        return lora_targets(self.pipeline.transformer)

    def read_lora(self, tensors: Mapping[str, Tensor]) -> Lora:
        """The LoRA of a file's tensors, with diffusers' keys.

        Raises:
            DiffersError: A key is missing, unexpected or of another shape; it names the keys.
        """
        return read_diffusers(tensors, self.lora_sizes())

    @property
    def _statistics(self) -> tuple[Tensor, Tensor]:
        vae = self.pipeline.vae
        variance = vae.bn.running_var + vae.config["batch_norm_eps"]
        return vae.bn.running_mean.view(1, -1, 1, 1), variance.sqrt().view(1, -1, 1, 1)

    @cached_property
    def _empty(self) -> Tensor:
        return self._encode_text([""])

    @torch.no_grad()
    def _encode_text(self, prompts: Sequence[str]) -> Tensor:
        """Features `[B,L,D]` of three layers of the language model, side by side."""
        text: Tensor = self.pipeline.encode_prompt(
            list(prompts), device=device_of(self.pipeline.text_encoder)
        )[0]
        return text

    def _velocity(
        self, latents: Tensor, sigma: Tensor, text: Tensor, references: Sequence[Tensor]
    ) -> Tensor:
        images = (latents, *references)
        _, _, rows, columns = latents.shape
        output = self.transformer(
            hidden_states=torch.cat([image.flatten(2).mT for image in images], dim=1),
            encoder_hidden_states=text.to(latents.dtype),
            timestep=sigma.to(latents.dtype),
            guidance=None,
            img_ids=position_ids([image.shape[-2:] for image in images]).to(latents.device),
            txt_ids=_text_ids(text.shape[1]).to(latents.device),
            return_dict=False,
        )[0]
        velocity: Tensor = output[:, : rows * columns].mT.unflatten(2, (rows, columns))
        return velocity


def lora_targets(transformer: Flux2Transformer2DModel) -> list[str]:
    """Names of the layers that are adapted."""
    config = transformer.config
    double = [
        f"transformer_blocks.{block}.attn.{layer}"
        for block in range(config["num_layers"])
        for layer in DOUBLE
    ]
    single = [
        f"single_transformer_blocks.{block}.attn.{layer}"
        for block in range(config["num_single_layers"])
        for layer in SINGLE
    ]
    return double + single


def position_ids(sizes: Sequence[Sequence[int]]) -> Tensor:
    """Position ids `[S,4]` (time, row, column, 0) of the target and its references in turn."""
    ids = []
    for number, (rows, columns) in enumerate(sizes):
        axes = (torch.tensor([10 * number]), torch.arange(rows), torch.arange(columns))
        ids.append(torch.cartesian_prod(*axes, torch.arange(1)))
    return torch.cat(ids)


def _text_ids(length: int) -> Tensor:
    """Position ids `[L,4]` of the text: its place is the last coordinate."""
    ids = torch.zeros(length, 4, dtype=torch.long)
    ids[:, 3] = torch.arange(length)
    return ids
