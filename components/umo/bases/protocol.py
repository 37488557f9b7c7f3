"""What ReReFL, evaluation, export and serving ask of a customization model."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from umo.bases.layout import Layout
from umo.errors import UsageError

TOKEN = 16
"""Pixels on a side of a token, the same for every base."""
LEVELS = 1000
"""Noise levels of the flow-matching loss."""


@dataclass(frozen=True, kw_only=True)
class Conditioning:
    """Encoded prompts and references of a batch; cacheable, without gradient."""

    text: Tensor
    """Text features `[B,L,D]`."""
    pooled: Tensor
    """Pooled text features `[B,P]`."""
    references: tuple[Tensor, ...]
    """One tensor of reference latents `[B,C,h,w]` for each reference slot, in order."""
    lengths: Tensor | None = None
    """How many rows of `text` count, `[B]`, the first ones; None if they all do."""

    def __len__(self) -> int:
        return self.text.shape[0]

    def __getitem__(self, rows: slice | list[int] | Tensor) -> "Conditioning":
        return Conditioning(
            text=self.text[rows],
            pooled=self.pooled[rows],
            references=tuple(reference[rows] for reference in self.references),
            lengths=None if self.lengths is None else self.lengths[rows],
        )

    @classmethod
    def joined(cls, parts: Sequence["Conditioning"]) -> "Conditioning":
        """One after the other; text of other lengths is padded at its end with zeros."""
        longest = max(part.text.shape[1] for part in parts)
        lengths = [part.lengths for part in parts if part.lengths is not None]
        slots = zip(*(part.references for part in parts), strict=True)
        return cls(
            text=torch.cat([F.pad(p.text, (0, 0, 0, longest - p.text.shape[1])) for p in parts]),
            pooled=torch.cat([part.pooled for part in parts]),
            references=tuple(torch.cat(slot) for slot in slots),
            lengths=torch.cat(lengths) if lengths else None,
        )


class ReferenceModel(Protocol):
    """A flow-matching image model with reference pictures.

    `sigma` runs from 1 (noise) to 0 (data); `x_sigma = (1 - sigma) * x0 + sigma * noise`; the
    velocity is `noise - x0`, so `x0 = x_sigma - sigma * velocity`. A batch is homogeneous: one
    target size, one number of references, one reference size.
    """

    name: str
    digest: str
    """sha256 of the base weights."""
    transformer: nn.Module
    """The module that LoRA is attached to."""

    @property
    def layout(self) -> Layout:
        """How it wants references and what size it paints."""

    @property
    def decoder(self) -> nn.Module:
        """The module that turns latents into pictures."""

    @property
    def large(self) -> tuple[nn.Module, ...]:
        """Where nearly all weights are: the transformer, and what reads the prompts."""

    def to(self, device: torch.device) -> None:
        """Move every part to a device."""

    def encode(
        self, prompts: Sequence[str], references: Sequence[Sequence[Tensor]]
    ) -> Conditioning:
        """Encode prompts and, for each prompt, its reference pictures (float `[3,h,w]`, -1..1)."""

    def encode_images(self, images: Tensor) -> Tensor:
        """Latents `[B,C,h,w]` of pictures `[B,3,H,W]` in -1..1, without gradient."""

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """`(C,h,w)` of the latents of a picture of `height` x `width` pixels."""

    def velocity(
        self, latents: Tensor, sigma: Tensor, conditioning: Conditioning, *, guidance: float
    ) -> Tensor:
        """Velocity `[B,C,h,w]` at `sigma` `[B]` (the shifted sigma, 0..1).

        `guidance` is the prompt's scale; whatever else guidance needs (a negative prompt, a scale
        of the references) belongs to the model.
        """

    def sigmas(self, steps: int, height: int, width: int) -> Tensor:
        """Shifted sigmas `[steps+1]` from 1 to 0 for a picture of `height` x `width` pixels."""

    def training_sigmas(self, height: int, width: int) -> Tensor:
        """`LEVELS` sigmas from 1 to 0 of the base's own loss, each as likely as the others."""

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures `[B,3,H,W]`, about -1..1 and never clamped, with gradient."""

    def lora_targets(self) -> list[str]:
        """Full names of the linear layers of `transformer` that LoRA adapts."""

    def add_lora(self, rank: int, *, seed: int) -> list[nn.Parameter]:
        """Attach a fresh LoRA (alpha = rank, output unchanged); the trainable parameters."""

    def load_lora(self, path: Path) -> None:
        """Attach the LoRA of a safetensors file.

        Raises:
            DiffersError: A key is missing, unexpected or of another shape; it names the keys.
        """

    def continue_lora(self, path: Path) -> list[nn.Parameter]:
        """Attach the LoRA of a file to train it further; the trainable parameters.

        Raises:
            DiffersError: As `load_lora`.
        """

    def save_lora(self, path: Path) -> None:
        """Write the attached LoRA as a safetensors file, atomically."""

    def merge_lora(self) -> None:
        """Add the attached LoRA to the weights, which is then part of the base."""

    def save(self, folder: Path) -> None:
        """Write the components as a diffusers folder (without a manifest)."""

    def lora_off(self) -> AbstractContextManager[None]:
        """Inside the block the model paints as without its LoRA."""

    def without_lora(self) -> None:
        """Detach any LoRA: the base again."""


def slots_of(references: Sequence[Sequence[Tensor]]) -> list[tuple[Tensor, ...]]:
    """The first reference of every sample of a batch, then the second, and so on.

    Raises:
        UsageError: The samples have different numbers of references.
    """
    counts = {len(pictures) for pictures in references}
    if len(counts) != 1:
        raise UsageError(
            f"a batch has {sorted(counts)} references, it must have one number of them"
        )
    return list(zip(*references, strict=True))


def check_size(height: int, width: int) -> None:
    """Refuse a picture that is not made of whole tokens.

    Raises:
        UsageError: A side is no multiple of 16 px.
    """
    if height % TOKEN or width % TOKEN:
        raise UsageError(
            f"a picture of {width} x {height} px cannot be made", hint=f"use multiples of {TOKEN}"
        )


def device_of(module: nn.Module) -> torch.device:
    """Where a module's parameters are."""
    return next(module.parameters()).device
