"""The random numbers of a batch: drawn for all of it, whoever trains on which part."""

from dataclasses import dataclass

import torch
from torch import Tensor

from umo.training.config import RereflConfig


@dataclass(frozen=True, kw_only=True)
class Draws:
    """The random numbers of a batch of `B` samples, on the CPU; None where they are not needed."""

    stops: Tensor | None
    """Stop steps `[B,points]` of the roll-outs, from the noise end."""
    start: Tensor | None
    """Noise `[B,C,h,w]` that the roll-outs start from."""
    redrawn: Tensor | None
    """Noise `[B,points,C,h,w]` that finished latents are noised with again."""
    levels: Tensor | None
    """Rows `[B]` of the table of noise levels for the flow-matching loss."""
    noise: Tensor | None
    """Noise `[B,C,h,w]` of the flow-matching loss."""


def draw_stops(config: RereflConfig, count: int, generator: torch.Generator) -> Tensor:
    """Step indices `[count,points]` from the noise end, uniform in the window, each once a row."""
    first, last = config.window
    scores = torch.rand(count, last - first + 1, generator=generator)
    from_clean = first + scores.argsort(dim=1)[:, : config.points]
    return config.rollout_steps - from_clean
