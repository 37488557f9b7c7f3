from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from umo.errors import UsageError
from umo_serving.pictures import decode, encode, pixels


def encoded(picture: Image.Image, kind: str = "PNG", **settings: object) -> bytes:
    stream = BytesIO()
    picture.save(stream, format=kind, **settings)
    return stream.getvalue()


HALVES = Image.fromarray(
    np.concatenate([np.full((40, 30, 3), 250, np.uint8), np.zeros((40, 30, 3), np.uint8)], axis=1)
)
"""White on the left, black on the right."""


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_turned_picture_comes_out_upright(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = decode(encoded(HALVES, kind, exif=exif), name="it")
    assert picture.size == (40, 60)
    upper, lower = pixels(picture)[5, 20], pixels(picture)[55, 20]
    assert upper.min() > 200
    assert lower.max() < 50


@pytest.mark.parametrize("mode", ["RGBA", "LA", "L", "P", "1", "I;16", "CMYK"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    plain = HALVES.convert("I").convert("I;16") if mode == "I;16" else HALVES.convert(mode)
    assert decode(encoded(plain, kind), name="it").mode == "RGB"


def test_transparent_parts_become_white() -> None:
    clear = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    assert pixels(decode(encoded(clear), name="it")).min() == 255


def test_a_cut_off_picture_is_refused_by_name() -> None:
    noise = Image.effect_noise((96, 96), 50)
    for kind in ("PNG", "JPEG"):
        whole = encoded(noise, kind)
        with pytest.raises(UsageError, match="reference 3 is damaged; send a picture that opens"):
            decode(whole[: len(whole) // 2], name="reference 3")


def test_nothing_but_pixels_is_written() -> None:
    picture = decode(encoded(HALVES, "JPEG", comment="secret", dpi=(300, 300)), name="it")
    png = encode(pixels(picture))
    assert Image.open(BytesIO(png)).info == {}
    assert b"secret" not in png
    assert encode(pixels(picture)) == png
