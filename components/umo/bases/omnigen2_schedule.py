"""OmniGen2's noise levels and its guidance by two scales.

OmniGen2's own time runs from 0 (noise) to 1 (data) and its velocity is `data - noise`. Here, as in
`ReferenceModel`, sigma runs from 1 (noise) to 0 (data) and the velocity is `noise - data`:

    sigma = 1 - t,   v = -v_omnigen2,   so   (t' - t) v_omnigen2 = (sigma' - sigma) v

and both take the same Euler steps.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from umo.bases.protocol import LEVELS, TOKEN
from umo.errors import UsageError

LATENTS = 8
"""Pixels on a side of a latent."""

SCRIPT_NEGATIVE = (
    "(((deformed))), blurry, over saturation, bad anatomy, disfigured, poorly drawn face, "
    "mutation, mutated, (extra_limb), (ugly), (poorly drawn hands), fused fingers, messy drawing, "
    "broken legs censor, censored, censor_bar"
)
"""The negative prompt of the published scripts."""

Call = Literal["full", "references", "nothing"]
"""What a velocity is conditioned on: prompt and references; the negative prompt and references; the
negative prompt alone."""


@dataclass(frozen=True, kw_only=True)
class DualGuidance:
    """What guidance needs besides the prompt's scale; by default as in UMO's evaluation."""

    image: float = 2.0
    """Scale of the references; counts where it and the prompt's scale are above 1."""
    first: float = 0.0
    """Guidance begins at this part of the steps, 0..1."""
    last: float = 1.0
    """Guidance ends after this part of the steps, 0..1."""
    negative_prompt: str = SCRIPT_NEGATIVE
    """What the guided velocity leads away from."""

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last <= 1:
            raise UsageError(
                f"guidance runs from {self.first} to {self.last}",
                hint="0 <= first <= last <= 1",
            )


def shift(height: int, width: int) -> float:
    """`m = sqrt(h w) / 40` of a picture of `height` x `width` pixels, with h and w in latents."""
    return math.sqrt((height // LATENTS) * (width // LATENTS)) / 40


def times(steps: int, height: int, width: int, *, shifted: bool = True) -> Tensor:
    """Times `[steps+1]` from 0 (noise) to 1 (data), float64.

    `t = u / (m - m u + u)` with `u = i / steps` and `m` from `shift`.

    Args:
        steps: Euler steps.
        height: Of the picture, pixels.
        width: Of the picture, pixels.
        shifted: Whether larger pictures spend more steps near noise; else `t = u`.
    """
    u = torch.arange(steps + 1, dtype=torch.float64) / steps
    m = shift(height, width) if shifted else 1.0
    return u / (m - m * u + u)


def training_times(height: int, width: int) -> Tensor:
    """Times `[LEVELS]` from 0 (noise) to 1 (data) of the loss, each as likely as the others.

    OmniGen2 draws `t = u / (m - m u + u)` with `u` the sigmoid of a normal, `m = e^mu` and
    `mu = 0.5 + 0.65 (n - 256) / 3840` for `n` tokens of the target; these are the middles of
    `LEVELS` equal parts of that distribution.

    Args:
        height: Of the target, pixels.
        width: Of the target, pixels.
    """
    n = (height // TOKEN) * (width // TOKEN)
    m = math.exp(0.5 + 0.65 * (n - 256) / (4096 - 256))
    middles = (torch.arange(LEVELS, dtype=torch.float64) + 0.5) / LEVELS
    u: Tensor = torch.special.ndtri(middles).sigmoid()
    return u / (m - m * u + u)


def progress(time: Tensor, height: int, width: int, *, shifted: bool = True) -> Tensor:
    """The `u` that `times` has shifted to `time`: the part of the steps that is done."""
    m = shift(height, width) if shifted else 1.0
    return m * time / (1 - time + m * time)


def combine(call: Callable[[Call], Tensor], *, text: float, image: float) -> Tensor:
    """The guided velocity.

    With `c`, `r`, `u` the velocities of the three calls, in this order:
    `u + image (r - u) + text (c - r)` where both scales are above 1; `u + text (c - u)` where only
    the text's is; else `c`.

    Args:
        call: Computes a velocity.
        text: Scale of the prompt.
        image: Scale of the references; 1 where there are none.
    """
    conditioned = call("full")
    if text <= 1:
        return conditioned
    if image <= 1:
        unconditioned = call("nothing")
        return unconditioned + text * (conditioned - unconditioned)
    referred = call("references")
    unconditioned = call("nothing")
    return unconditioned + image * (referred - unconditioned) + text * (conditioned - referred)
