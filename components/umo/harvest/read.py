"""Pictures out of files that anything may be wrong with."""

import hashlib
import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageFile, ImageOps, UnidentifiedImageError

from umo.data.schema import Image

LARGEST_FILE = 512 * 2**20
"""Larger files are not read into memory, bytes."""
MOVING = ("GIF", "PNG", "WEBP", "AVIF")
"""Formats whose second frame is another moment; in others it is a thumbnail or a page."""
JPEGS = {"JPEG", "MPO"}
ORIENTATION = 0x0112
"""The EXIF tag; 1 is upright."""
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
)
"""What Pillow's decoders raise on bytes that are not what they should be."""


class Reason(StrEnum):
    """Why a file gave no picture."""

    EMPTY = "empty file"
    UNREADABLE = "cannot be opened"
    OTHER = "no picture or video"
    BROKEN = "broken"
    ANIMATED = "animated"
    HUGE = "too large"
    TINY = "too small"


class Mend(StrEnum):
    """What was put right in a picture."""

    TURNED = "turned upright by its EXIF"
    CMYK = "CMYK made RGB"
    DEEP = "16 bit made 8 bit"
    CLEAR = "transparent, put on white"
    MISLABELLED = "another format than its name says"
    CUT_SHORT = "a video that ends early"


class RefusedError(Exception):
    """A file that gives no picture, for a reason; expected, and counted by whoever reads."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class ReadConfig:
    """How pictures are read."""

    side: int = 1024
    """Longer side of a picture, pixels; larger ones are shrunk to it."""
    least_side: int = 64
    """Pictures with a shorter side below this are refused, pixels."""
    megapixels: float = 50.0
    """Pictures of more are refused, unless their format can be decoded at a fraction (JPEG)."""

    def __post_init__(self) -> None:
        if not 64 <= self.least_side <= self.side:
            raise ValueError(f"least_side {self.least_side} and side {self.side}: 64 <= it <= side")
        if not 0 < self.megapixels <= 150:
            raise ValueError(f"megapixels is {self.megapixels}, it must be above 0 and at most 150")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture that could be read."""

    pixels: Image
    sha256: str
    """Of the file."""
    mends: tuple[Mend, ...]


def read_picture(path: Path, config: ReadConfig) -> Picture:
    """Read a picture file: 8-bit RGB, upright, shrunk to `config.side`.

    Raises:
        RefusedError: It gives no picture; the reason says why.
    """
    data = read_bytes(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damage that decoders repair, and of size, judged here
        try:
            with Pillow.open(io.BytesIO(data)) as opened:
                pixels, mends = _decode(opened, path.suffix, config)
        except Pillow.DecompressionBombError:
            raise RefusedError(Reason.HUGE) from None
        except UnidentifiedImageError:
            raise RefusedError(Reason.OTHER) from None
        except DAMAGE:
            raise RefusedError(Reason.BROKEN) from None
    return Picture(pixels=pixels, sha256=hashlib.sha256(data).hexdigest(), mends=mends)


def read_bytes(path: Path) -> bytes:
    """The bytes of a source file.

    Raises:
        RefusedError: There are none, too many, or they cannot be read.
    """
    check_file(path)
    try:
        return path.read_bytes()
    except OSError:
        raise RefusedError(Reason.UNREADABLE) from None


def check_file(path: Path, largest: int = LARGEST_FILE) -> None:
    """Refuse a file that is empty, cannot be looked at or has more than `largest` bytes.

    Raises:
        RefusedError: It is such a file.
    """
    try:
        size = path.stat().st_size
    except OSError:
        raise RefusedError(Reason.UNREADABLE) from None
    if not size:
        raise RefusedError(Reason.EMPTY)
    if size > largest:
        raise RefusedError(Reason.HUGE)


def shrink(pixels: Image, side: int) -> Image:
    """A picture whose longer side is at most `side`."""
    if max(pixels.shape[:2]) <= side:
        return pixels
    image = Pillow.fromarray(pixels)
    image.thumbnail((side, side), reducing_gap=2.0)
    return np.array(image)


def _decode(image: Pillow.Image, suffix: str, config: ReadConfig) -> tuple[Image, tuple[Mend, ...]]:
    mends = []
    if image.format in MOVING and getattr(image, "is_animated", False):
        raise RefusedError(Reason.ANIMATED)
    expected = Pillow.registered_extensions().get(suffix.lower())
    if expected != image.format and not {expected, image.format} <= JPEGS:
        mends.append(Mend.MISLABELLED)
    image.draft(None, (config.side, config.side))
    if image.width * image.height > config.megapixels * 1e6:
        raise RefusedError(Reason.HUGE)
    if _deep(image):
        mends.append(Mend.DEEP)
    if image.mode == "CMYK":
        mends.append(Mend.CMYK)
    if image.getexif().get(ORIENTATION, 1) != 1:
        mends.append(Mend.TURNED)
    if image.has_transparency_data:
        mends.append(Mend.CLEAR)
    upright = ImageOps.exif_transpose(image)
    pixels = shrink(np.array(_rgb(upright)), config.side)
    if min(pixels.shape[:2]) < config.least_side:
        raise RefusedError(Reason.TINY)
    return pixels, tuple(mends)


def _deep(image: Pillow.Image) -> bool:
    """Whether the file has 16 bits a channel, of a picture whose pixels were not yet read.

    Pillow gives an RGB one as 8 bits at once; only what it is about to decode tells.
    """
    tiles = image.tile if isinstance(image, ImageFile.ImageFile) else []
    colours = [tile.args for tile in tiles if isinstance(tile.args, str)]
    return any("16" in mode for mode in (image.mode, *colours))


def _rgb(image: Pillow.Image) -> Pillow.Image:
    if image.mode.startswith("I;16"):
        return Pillow.fromarray((np.array(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise RefusedError(Reason.OTHER)
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        white = Pillow.new("RGBA", clear.size, "white")
        return Pillow.alpha_composite(white, clear).convert("RGB")
    return image.convert("RGB")
