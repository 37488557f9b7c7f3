"""The sizes that OmniGen2 takes references in and paints pictures in."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image as Pillow
from PIL import ImageOps
from torch import Tensor

from umo.errors import UsageError
from umo.pixels import to_bytes, to_float

STEP = 16
"""Sides are multiples of this many pixels."""
MOST_PIXELS = 1024**2
MOST_SIDE = 1024

Size = tuple[int, int]
"""Height and width in pixels."""


def reference_size(
    size: Size, *, most_pixels: int = MOST_PIXELS, most_side: int = MOST_SIDE
) -> Size:
    """What a reference of `size` is resized to: within both limits, never larger than it was.

    Raises:
        UsageError: A side would be shorter than 16 px.
    """
    return _scaled(size, min(_ratio(size, most_pixels), most_side / max(size)))


def picture_size(size: Size, *, most_pixels: int = MOST_PIXELS) -> Size:
    """What is painted for a picture of `size`: within the limit, sides multiples of 16 px.

    The decoded picture is then interpolated to `size`, bilinearly.

    Raises:
        UsageError: A side would be shorter than 16 px.
    """
    return _scaled(size, _ratio(size, most_pixels))


def _ratio(size: Size, most_pixels: int) -> float:
    return math.sqrt(most_pixels / (size[0] * size[1]))


def _scaled(size: Size, ratio: float) -> Size:
    height, width = (int(side * min(ratio, 1.0)) // STEP * STEP for side in size)
    if not height or not width:
        raise UsageError(
            f"a picture of {size[1]} x {size[0]} px is too small or too narrow",
            hint=f"no side may be shorter than {STEP} px, also when the picture is shrunk",
        )
    return height, width


def output_size(
    size: Size,
    references: Sequence[Size],
    *,
    align_res: bool = True,
    most_pixels: int = MOST_PIXELS,
    most_side: int = MOST_SIDE,
) -> tuple[Size, Size]:
    """What is painted, and what size it is given.

    Args:
        size: What was asked for.
        references: Sizes of the references before they are resized.
        align_res: Whether a single reference's size is taken instead of `size`.
        most_pixels: Limit of references and pictures.
        most_side: Limit of references.
    """
    if align_res and len(references) == 1:
        painted = reference_size(references[0], most_pixels=most_pixels, most_side=most_side)
        return painted, painted
    return picture_size(size, most_pixels=most_pixels), size


def prepare_reference(
    image: Pillow.Image, *, most_pixels: int = MOST_PIXELS, most_side: int = MOST_SIDE
) -> Tensor:
    """A reference as the model takes it, float `[3,h,w]` in -1..1.

    Turned as its EXIF data say, then resized by Lanczos without a crop, so its shape may change a
    little.
    """
    upright = ImageOps.exif_transpose(image).convert("RGB")
    height, width = reference_size(
        (upright.height, upright.width), most_pixels=most_pixels, most_side=most_side
    )
    resized = upright.resize((width, height), Pillow.Resampling.LANCZOS)
    return to_float(torch.from_numpy(np.array(resized)))


def fit_reference(picture: Tensor) -> Tensor:
    """`prepare_reference` of a picture `[3,h,w]` in -1..1; unchanged if it has such a size."""
    height, width = picture.shape[-2:]
    if reference_size((height, width)) == (height, width):
        return picture
    image = Pillow.fromarray(to_bytes(picture).cpu().numpy())
    return prepare_reference(image).to(picture.device)
