"""Where OmniGen2's tokens stand, and the rotation that tells the attention so.

A token has three coordinates. Text token `i` is at `(i,i,i)`; a picture's tokens are at
`(start,row,column)` with rows and columns counted from 0 in every picture. The first picture starts
at the number of text tokens, each further one `max(rows,columns)` after the one before; the target
is the last of them (arXiv 2506.18871, section 3.2, "Omni-RoPE").
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from umo.errors import UsageError

THETA = 10000.0
"""Longest wavelength over 2 pi."""

Grid = tuple[int, int]
"""Rows and columns of a picture, in tokens."""


def position_ids(text: int, pictures: Sequence[Grid]) -> Tensor:
    """Positions `[S,3]` of one sample's sequence, on the CPU.

    Args:
        text: Its text tokens; padding does not count.
        pictures: Its references in order, then the target.
    """
    parts = [torch.arange(text)[:, None].expand(-1, 3)]
    start = text
    for rows, columns in pictures:
        axes = torch.tensor([start]), torch.arange(rows), torch.arange(columns)
        parts.append(torch.cartesian_prod(*axes))
        start += max(rows, columns)
    return torch.cat(parts)


def rotations(
    ids: Tensor, axes_dim: Sequence[int], axes_lens: Sequence[int], device: torch.device
) -> Tensor:
    """Rotation of each pair of features: unit complex numbers `[S,sum(axes_dim)/2]`, complex128.

    Pair `i` of an axis of `d` features turns by `position * THETA ** (-2i/d)`; the axes' pairs
    follow one another.

    Args:
        ids: Positions `[S,3]`, on the CPU.
        axes_dim: Features of a head that turn with each coordinate.
        axes_lens: The model knows coordinates below these.
        device: Where the result is wanted.

    Raises:
        UsageError: A coordinate is not below its limit.
    """
    highest = ids.amax(dim=0).tolist()
    if any(most >= length for most, length in zip(highest, axes_lens, strict=True)):
        raise UsageError(
            f"a token is at position {tuple(highest)}, this model knows those below "
            f"{tuple(axes_lens)}",
            hint="use a shorter prompt, or smaller or fewer references",
        )
    there = ids.to(device)
    angles = []
    for axis, features in enumerate(axes_dim):
        exponents = torch.arange(0, features, 2, dtype=torch.float64, device=device) / features
        angles.append(there[:, axis, None] * (1.0 / THETA**exponents))
    angle = torch.cat(angles, dim=1)
    return torch.polar(torch.ones_like(angle), angle)


def rotate(features: Tensor, rotation: Tensor) -> Tensor:
    """Turn adjacent pairs of features, in float64; the result has the features' own type.

    Args:
        features: `[B,S,H,d]`.
        rotation: `[B,S,d/2]`.
    """
    pairs = torch.view_as_complex(features.double().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * rotation[:, :, None]).flatten(-2).to(features.dtype)
