"""Pictures from and to bytes. Nothing but pixels passes: no EXIF, no profile, no comment."""

from io import BytesIO

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from umo.data.schema import Image
from umo.errors import UsageError
from umo_serving.limits import REFERENCE_FORMATS


def decode(encoded: bytes, *, name: str) -> Pillow.Image:
    """Read a reference upright, as RGB; transparent parts become white.

    Args:
        encoded: A picture whose header `umo_serving.limits` accepted.
        name: What to call it in an error.

    Raises:
        UsageError: It is cut off or damaged.
    """
    try:
        with Pillow.open(BytesIO(encoded), formats=REFERENCE_FORMATS) as opened:
            picture = ImageOps.exif_transpose(opened)
            if picture.has_transparency_data:
                picture = Pillow.alpha_composite(
                    Pillow.new("RGBA", picture.size, "white"), picture.convert("RGBA")
                )
            return picture.convert("RGB")
    except Exception as error:
        # The decoders raise whatever they like on a damaged file.
        raise UsageError(f"{name} is damaged", hint="send a picture that opens") from error


def encode(picture: Image) -> bytes:
    """PNG file of a picture `[H,W,3]`, without metadata; equal pixels give equal bytes."""
    stream = BytesIO()
    Pillow.fromarray(picture).save(stream, format="PNG")
    return stream.getvalue()


def pixels(picture: Pillow.Image) -> Image:
    """Pixels `[H,W,3]`, 0 to 255, of an RGB picture."""
    return np.asarray(picture)
