"""What one request may ask for: the same limits and the same words on both sides of the wire."""

import math
from collections.abc import Sequence
from io import BytesIO
from numbers import Integral, Real

from umo.errors import UsageError

PROMPT_CHARACTERS = 2_000
REFERENCES = 4
REFERENCE_BYTES = 8 * 2**20
REFERENCE_PIXELS = 4_096 * 4_096
REFERENCE_SIDES = (16, 8_192)
"""Shortest and longest side of a reference picture, in pixels."""
REFERENCE_FORMATS = ("PNG", "JPEG", "WEBP")
STEPS = 100
GUIDANCE = 20.0
SIDES = (64, 2_048)
"""Shortest and longest side of a picture, in pixels."""
SIDE_MULTIPLE = 16
PIXELS = 1_024 * 1_024
IMAGES = 4
SEED = 2**63 - 1


def check_request(
    *,
    prompt: str,
    references: Sequence[bytes],
    seed: int | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    width: int | None = None,
    height: int | None = None,
    images: int | None = None,
) -> None:
    """Refuse what the server would refuse; None means the server's default.

    Args:
        prompt: What to paint.
        references: Encoded pictures of the people, one each; only their headers are read.
        seed: Seed of the first picture.
        steps: Denoising steps.
        guidance: Strength of the prompt.
        width: Width of a picture in pixels.
        height: Height of a picture in pixels.
        images: Number of pictures.

    Raises:
        UsageError: A value is outside its limits; the line names both.
    """
    if not isinstance(prompt, str):
        raise UsageError(f"the prompt is a {type(prompt).__name__}, not text")
    if not prompt.strip():
        raise UsageError("the prompt is empty", hint="say what to paint")
    if len(prompt) > PROMPT_CHARACTERS:
        raise UsageError(f"the prompt has {len(prompt)} characters, at most {PROMPT_CHARACTERS}")
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"the prompt is no valid Unicode: {error.reason}") from None
    if len(references) > REFERENCES:
        raise UsageError(f"{len(references)} references, at most {REFERENCES}")
    for number, picture in enumerate(references, start=1):
        _check_reference(f"reference {number}", picture)
    if guidance is not None:
        _check_range("guidance", guidance, 0.0, GUIDANCE)
    _check_whole("seed", seed, 0, SEED)
    _check_whole("steps", steps, 1, STEPS)
    _check_whole("images", images, 1, IMAGES)
    for name, side in (("width", width), ("height", height)):
        _check_whole(name, side, *SIDES)
        if side is not None and side % SIDE_MULTIPLE:
            raise UsageError(f"{name} is {side}, not a multiple of {SIDE_MULTIPLE}")
    if width and height and width * height > PIXELS:
        raise UsageError(f"{width} x {height} is {width * height} pixels, at most {PIXELS}")


def _check_whole(name: str, value: int | None, low: int, high: int) -> None:
    if value is None:
        return
    if not isinstance(value, Integral):
        raise UsageError(f"{name} is {value!r}, not a whole number")
    _check_range(name, value, low, high)


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not isinstance(value, Real):
        raise UsageError(f"{name} is {value!r}, not a number")
    if not (math.isfinite(value) and low <= value <= high):
        raise UsageError(f"{name} is {value}, not between {low} and {high}")


def _check_reference(name: str, picture: bytes) -> None:
    from PIL import Image

    if len(picture) > REFERENCE_BYTES:
        raise UsageError(f"{name} has {len(picture)} bytes, at most {REFERENCE_BYTES}")
    kinds = ", ".join(REFERENCE_FORMATS)
    try:
        width, height = Image.open(BytesIO(picture), formats=REFERENCE_FORMATS).size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UsageError(f"{name} has too many pixels, at most {REFERENCE_PIXELS}") from None
    except (OSError, ValueError, SyntaxError):
        raise UsageError(f"{name} is no picture", hint=f"send one of {kinds}") from None
    if width * height > REFERENCE_PIXELS:
        raise UsageError(
            f"{name} has {width} x {height} pixels, at most {REFERENCE_PIXELS}",
            hint="shrink it",
        )
    if min(width, height) < REFERENCE_SIDES[0] or max(width, height) > REFERENCE_SIDES[1]:
        low, high = REFERENCE_SIDES
        raise UsageError(f"{name} is {width} x {height}, its sides not between {low} and {high}")
