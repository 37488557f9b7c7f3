"""How UNO sees reference pictures (arXiv 2504.02160, its `preprocess_ref`)."""

from PIL import Image, ImageOps

from umo.bases.layout import PIXELS

ALONE, TOGETHER = 512, 320
"""Long side in px of the one reference, and of each of several."""
STEP = 16
"""Sides are multiples of it: a token is 16 x 16 px."""


def uno_side(references: int) -> int:
    """Long side in px that UNO gives each of so many references."""
    return ALONE if references == 1 else TOGETHER


def uno_reference(picture: Image.Image, side: int) -> Image.Image:
    """A reference as UNO takes it: upright, RGB, long side `side`, then cropped about its middle.

    Small pictures are made larger. Both sides of the crop are the largest multiples of 16.

    Args:
        picture: Any picture.
        side: Long side before the crop, px (`uno_side`).
    """
    upright = ImageOps.exif_transpose(picture)
    width, height = upright.size
    if width >= height:
        size = side, max(int(side / width * height), STEP)
    else:
        size = max(int(side / height * width), STEP), side
    resized = upright.resize(size, Image.Resampling.LANCZOS)
    kept = [length // STEP * STEP for length in size]
    left, top = ((length - keep) // 2 for length, keep in zip(size, kept, strict=True))
    return resized.crop((left, top, left + kept[0], top + kept[1])).convert("RGB")


class UnoLayout:
    """UNO's habits (a `Layout`); pictures are 512 px wide and high."""

    pixels = PIXELS

    def size(self, people: int) -> tuple[int, int]:
        """Width and height of a picture."""
        return ALONE, ALONE

    def frame(self, reference: Image.Image, people: int) -> Image.Image:
        """`uno_reference` with the long side for so many people."""
        return uno_reference(reference, uno_side(people))
