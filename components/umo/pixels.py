"""Pictures as bytes `[...,H,W,3]` and as floats `[...,3,H,W]` in -1..1."""

import torch
from torch import Tensor


def to_float(pixels: Tensor) -> Tensor:
    """Floats `[...,3,H,W]` in -1..1 of uint8 `[...,H,W,3]`."""
    return pixels.movedim(-1, -3).float() / 127.5 - 1


@torch.no_grad()
def to_bytes(pictures: Tensor) -> Tensor:
    """uint8 `[...,H,W,3]` of floats `[...,3,H,W]` of about -1..1, clamped and rounded."""
    pixels = ((pictures.float().clamp(-1, 1) + 1) * 127.5).round().byte()
    return pixels.movedim(-3, -1)
