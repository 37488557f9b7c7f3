"""The sizes that OmniGen2 takes references in and paints pictures in."""

import math

import numpy as np
import torch
from PIL import Image as Pillow
from PIL import ImageOps
from torch import Tensor

from umo.bases.layout import PIXELS
from umo.errors import UsageError
from umo.pixels import to_bytes, to_float

STEP = 16
"""Sides are multiples of this many pixels."""
MOST_SIDE = 1024
"""Longest side of a reference, and the side of a picture in UMO's evaluation, px."""

Size = tuple[int, int]
"""Height and width in pixels."""


class OmniGen2Layout:
    """OmniGen2's habits (a `Layout`).

    Pictures are 1024 x 1024 px whatever the references are, as in UMO's evaluation, which turns
    OmniGen2's `align_res` off.
    """

    pixels = PIXELS

    def size(self, people: int) -> tuple[int, int]:
        """Width and height of a picture."""
        return MOST_SIDE, MOST_SIDE

    def frame(self, reference: Pillow.Image, people: int) -> Pillow.Image:
        """`prepare_reference`."""
        return prepare_reference(reference)


def reference_size(size: Size, *, most_pixels: int = PIXELS, most_side: int = MOST_SIDE) -> Size:
    """What a reference of `size` is resized to: within both limits, never larger than it was.

    Raises:
        UsageError: A side would be shorter than 16 px.
    """
    ratio = min(math.sqrt(most_pixels / (size[0] * size[1])), most_side / max(size), 1.0)
    height, width = (int(side * ratio) // STEP * STEP for side in size)
    if not height or not width:
        raise UsageError(
            f"a picture of {size[1]} x {size[0]} px is too small or too narrow",
            hint=f"no side may be shorter than {STEP} px, also when the picture is shrunk",
        )
    return height, width


def prepare_reference(
    image: Pillow.Image, *, most_pixels: int = PIXELS, most_side: int = MOST_SIDE
) -> Pillow.Image:
    """A reference as the model takes it.

    Turned as its EXIF data say, then resized by Lanczos without a crop, so its shape may change a
    little.
    """
    upright = ImageOps.exif_transpose(image).convert("RGB")
    height, width = reference_size(
        (upright.height, upright.width), most_pixels=most_pixels, most_side=most_side
    )
    return upright.resize((width, height), Pillow.Resampling.LANCZOS)


def fit_reference(picture: Tensor) -> Tensor:
    """`prepare_reference` of a picture `[3,h,w]` in -1..1; unchanged if it has such a size."""
    height, width = picture.shape[-2:]
    if reference_size((height, width)) == (height, width):
        return picture
    fitted = prepare_reference(Pillow.fromarray(to_bytes(picture).cpu().numpy()))
    return to_float(torch.from_numpy(np.array(fitted))).to(picture.device)
