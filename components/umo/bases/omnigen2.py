"""OmniGen2 with reference pictures (arXiv 2506.18871), which UMO was published on.

Kept from its base pipeline: only text goes through Qwen2.5-VL; references enter as latents of
FLUX's autoencoder; guidance has a scale for the prompt and one for the references.

Its own time and velocity run the other way, see `umo.bases.omnigen2_schedule`. Other than there,
pictures are encoded to the mean of the posterior, not to a draw from it: the same picture always
gives the same latents.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import (
    AutoTokenizer,
    PreTrainedTokenizerBase,
    Qwen2_5_VLForConditionalGeneration,
)
from transformers.utils import logging

from umo.bases.kl import to_latents, to_pictures
from umo.bases.lora import PeftLora
from umo.bases.omnigen2_pictures import OmniGen2Layout, fit_reference
from umo.bases.omnigen2_schedule import (
    LATENTS,
    Call,
    DualGuidance,
    combine,
    progress,
    times,
    training_times,
)
from umo.bases.omnigen2_transformer import OmniGen2Transformer2DModel
from umo.bases.protocol import Conditioning, check_size, device_of, slots_of
from umo.config import load, read, to_mapping
from umo.errors import DiffersError, NotFoundError, UsageError
from umo.files import MANIFEST, read_manifest
from umo.formats import omnigen2
from umo.formats.lora import Lora

logging.disable_progress_bar()

SYSTEM = (
    "You are a helpful assistant that generates high-quality images based on user instructions."
)
MOST_TOKENS = 1024
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
SCHEDULER = Path("scheduler", "scheduler_config.json")
GUIDANCE = "guidance.json"
SLACK = 1e-4
"""By which a part of the steps, found again from a rounded sigma, may miss a limit of guidance."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The components of an OmniGen2 folder."""

    transformer: OmniGen2Transformer2DModel
    vae: AutoencoderKL
    mllm: Qwen2_5_VLForConditionalGeneration
    tokenizer: PreTrainedTokenizerBase
    """In the folder `processor`."""
    dynamic_time_shift: bool = True
    """In the scheduler's settings: whether larger pictures spend more steps near noise."""


class OmniGen2(PeftLora):
    """OmniGen2 (a `ReferenceModel`).

    `guidance` of `velocity` is the prompt's scale; the references' scale, the part of the steps
    that is guided and the negative prompt are the model's `dual`. Unguided (`guidance` 1) is one
    pass of the transformer, guided are two, or three with references.

    Args:
        parts: The components.
        name: What to call it.
        digest: sha256 of the base weights.
        dual: What guidance needs besides the prompt's scale.
    """

    lora_names = omnigen2.NAMES
    layout = OmniGen2Layout()

    def __init__(
        self, parts: Parts, *, name: str, digest: str, dual: DualGuidance | None = None
    ) -> None:
        self.parts = parts
        self.name = name
        self.digest = digest
        self.dual = dual or DualGuidance()
        self.transformer: nn.Module = parts.transformer
        self._negatives: dict[str, tuple[Tensor, Tensor]] = {}
        for module in (*self.large, parts.vae):
            module.requires_grad_(False).eval()

    @classmethod
    def load(cls, folder: Path, *, dtype: torch.dtype = torch.float32) -> "OmniGen2":
        """Read a folder as it was released, to which a umo manifest was added.

        A file `guidance.json`, sealed with the rest, may set the fields of `DualGuidance`.

        Args:
            folder: The folder.
            dtype: Of the transformer's weights; Qwen2.5-VL keeps that of its files, the autoencoder
                has float32.

        Raises:
            NotFoundError: The folder lacks a component or is not sealed.
            UsageError: A component cannot be read, or has other weights than its settings ask for.
            DiffersError: A file is not the one that the manifest names, or `guidance.json` is not
                in it.
        """
        manifest = read_manifest(folder, verify=True)
        parts = Parts(
            transformer=_whole(folder / "transformer", OmniGen2Transformer2DModel, dtype=dtype),
            vae=_whole(folder / "vae", AutoencoderKL),
            mllm=_whole(
                folder / "mllm", Qwen2_5_VLForConditionalGeneration, ignore_mismatched_sizes=True
            ),
            tokenizer=_read(folder / "processor", AutoTokenizer),
            dynamic_time_shift=_settings(folder / SCHEDULER).get("dynamic_time_shift", True),
        )
        dual = DualGuidance()
        if (folder / GUIDANCE).is_file():
            if GUIDANCE not in manifest["files"]:
                raise DiffersError(
                    f"{folder / GUIDANCE} came after the folder was sealed",
                    hint=f"remove {MANIFEST} and seal it again",
                )
            dual = load(DualGuidance, folder / GUIDANCE)
        return cls(parts, name=manifest["name"], digest=manifest["digest"], dual=dual)

    def save(self, folder: Path) -> None:
        """Write the components as a folder like the released one (without a manifest)."""
        parts = self.parts
        parts.transformer.save_pretrained(folder / "transformer")
        parts.vae.save_pretrained(folder / "vae")
        parts.mllm.save_pretrained(folder / "mllm")
        parts.tokenizer.save_pretrained(folder / "processor")
        scheduler = "FlowMatchEulerDiscreteScheduler"
        settings = {"_class_name": scheduler, "dynamic_time_shift": parts.dynamic_time_shift}
        index = {
            "_class_name": "OmniGen2Pipeline",
            "transformer": ["transformer_omnigen2", type(parts.transformer).__name__],
            "vae": ["diffusers", "AutoencoderKL"],
            "mllm": ["transformers", "Qwen2_5_VLForConditionalGeneration"],
            "processor": ["transformers", "Qwen2_5_VLProcessor"],
            "scheduler": ["scheduling_flow_match_euler_discrete", scheduler],
        }
        (folder / SCHEDULER).parent.mkdir()
        (folder / SCHEDULER).write_text(json.dumps(settings) + "\n")
        if self.dual != DualGuidance():
            (folder / GUIDANCE).write_text(json.dumps(to_mapping(self.dual), indent=1) + "\n")
        (folder / "model_index.json").write_text(json.dumps(index, indent=1) + "\n")

    @property
    def large(self) -> tuple[nn.Module, ...]:
        """The transformer and Qwen2.5-VL."""
        return self.transformer, self.parts.mllm

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
        """Encode prompts and, for each, its reference pictures (float `[3,h,w]`, -1..1).

        References are resized as `fit_reference` says; those of one slot must then have one size.
        """
        by_slot = slots_of(references)
        text, lengths = self.encode_text(prompts)
        slots = []
        for slot in by_slot:
            fitted = [fit_reference(picture) for picture in slot]
            sizes = sorted({f"{one.shape[2]} x {one.shape[1]}" for one in fitted})
            if len(sizes) != 1:
                raise UsageError(f"a batch has references of {' and '.join(sizes)} px in one slot")
            slots.append(self.encode_images(torch.stack(fitted).to(text.device)))
        return Conditioning(
            text=text,
            pooled=text.new_zeros(len(text), 0),
            references=tuple(slots),
            lengths=lengths,
        )

    def encode_text(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Qwen2.5-VL's last hidden states `[B,L,F]`, after its norm, and how many count `[B]`."""
        model = self.parts.mllm.model
        tokens = self.parts.tokenizer(
            [chat(prompt) for prompt in prompts],
            padding="longest",
            padding_side="right",
            truncation=True,
            max_length=MOST_TOKENS,
            return_tensors="pt",
        ).to(device_of(model))
        mask = tokens["attention_mask"]
        features: Tensor = model(
            input_ids=tokens["input_ids"], attention_mask=mask, use_cache=False
        ).last_hidden_state
        return features, mask.sum(dim=1)

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
        return self.parts.transformer.config["in_channels"], height // LATENTS, width // LATENTS

    def sigmas(self, steps: int, height: int, width: int) -> Tensor:
        """Shifted sigmas `[steps+1]` from 1 to 0: 1 - OmniGen2's own times."""
        shifted = self.parts.dynamic_time_shift
        return (1 - times(steps, height, width, shifted=shifted)).float()

    def training_sigmas(self, height: int, width: int) -> Tensor:
        """`LEVELS` sigmas of OmniGen2's loss, from 1 to 0: 1 - the times that it draws."""
        return (1 - training_times(height, width)).float()

    def velocity(
        self, latents: Tensor, sigma: Tensor, conditioning: Conditioning, *, guidance: float
    ) -> Tensor:
        """Velocity `noise - data` `[B,C,h,w]` at `sigma` `[B]`; `guidance` scales the prompt.

        Samples outside `dual.first .. dual.last` of the steps are not guided.
        """
        time, dual = 1 - sigma, self.dual
        height, width = (side * LATENTS for side in latents.shape[-2:])
        shifted = self.parts.dynamic_time_shift
        done = progress(time.double(), height, width, shifted=shifted)
        guided = (done >= dual.first - SLACK) & (done <= dual.last + SLACK)

        @functools.cache
        def call(kind: Call) -> Tensor:
            if kind == "full":
                text, lengths = conditioning.text, conditioning.lengths
            else:
                text, lengths = self._negative(latents)
            references = () if kind == "nothing" else conditioning.references
            return self._flow(latents, time, text, lengths, references)

        velocity = combine(
            call,
            text=guidance if bool(guided.any()) else 1.0,
            image=dual.image if conditioning.references else 1.0,
        )
        return -torch.where(guided[:, None, None, None], velocity, call("full"))

    def lora_targets(self) -> list[str]:
        """The attention of every block, refiners included, by full name."""
        return lora_targets(self.parts.transformer)

    def read_lora(self, tensors: Mapping[str, Tensor]) -> Lora:
        """The LoRA of a file's tensors, see `umo.formats.omnigen2.read_any`.

        Raises:
            DiffersError: A key is missing, unexpected or of another shape; it names the keys.
        """
        return omnigen2.read_any(tensors, self.lora_sizes())

    def _flow(
        self,
        latents: Tensor,
        time: Tensor,
        text: Tensor,
        lengths: Tensor | None,
        references: Sequence[Tensor],
    ) -> Tensor:
        """OmniGen2's own velocity, `data - noise`, at its own time."""
        dtype = latents.dtype
        if lengths is None:
            lengths = torch.full((len(text),), text.shape[1], device=text.device)
        flow: Tensor = self.transformer(
            latents,
            time.to(dtype),
            text.to(dtype),
            torch.arange(text.shape[1], device=lengths.device) < lengths[:, None],
            [[slot[row].to(dtype) for slot in references] for row in range(len(latents))],
        )
        return flow

    def _negative(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Text and length of the negative prompt, for each sample; it is encoded once."""
        prompt = self.dual.negative_prompt
        if prompt not in self._negatives:
            with torch.no_grad(), torch.autocast(latents.device.type, enabled=False):
                self._negatives[prompt] = self.encode_text([prompt])
        text, lengths = (part.to(latents.device) for part in self._negatives[prompt])
        return text.expand(len(latents), -1, -1), lengths.expand(len(latents))


def chat(prompt: str) -> str:
    """A prompt as Qwen2.5-VL's chat template puts it, with OmniGen2's system prompt."""
    turns = (("system", SYSTEM), ("user", prompt))
    return "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in turns)


def lora_targets(transformer: OmniGen2Transformer2DModel) -> list[str]:
    """Names of the layers that UMO adapts."""
    config = transformer.config
    refiners = ("noise_refiner", "ref_image_refiner", "context_refiner")
    blocks = [f"{part}.{i}" for part in refiners for i in range(config["num_refiner_layers"])]
    blocks += [f"layers.{i}" for i in range(config["num_layers"])]
    return [f"{block}.attn.{layer}" for block in blocks for layer in ATTENTION]


def _read(folder: Path, part: Any, **options: Any) -> Any:
    if not folder.is_dir():
        raise NotFoundError(f"{folder.parent} is no base: it has no {folder.name} folder")
    try:
        return part.from_pretrained(folder, local_files_only=True, **options)
    except (OSError, ValueError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{folder} cannot be read: {reason}") from error


def _whole(folder: Path, part: Any, **options: Any) -> Any:
    """A part of which every weight was in the folder, and nothing else."""
    model, found = _read(folder, part, output_loading_info=True, **options)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if keys := sorted(map(str, found[kind])):
            raise UsageError(f"{folder} has {kind.replace('_', ' ')}: {', '.join(keys)}")
    return model


def _settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise NotFoundError(
            f"{path.parents[1]} is no base: it has no {path.parent.name}/{path.name}"
        )
    return read(path)
