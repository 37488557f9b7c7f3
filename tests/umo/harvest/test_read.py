"""Whatever is wrong with a picture file, it is read right or refused with the right reason."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from services.png import deep_png, png_of_size
from umo.harvest.read import LARGEST_FILE, Mend, ReadConfig, Reason, RefusedError, read_picture

CONFIG = ReadConfig(side=256, megapixels=20)


def photo(width: int = 200, height: int = 120) -> Pillow.Image:
    """Red above, blue below, brighter to the right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, :, 0] = 200
    pixels[height // 2 :, :, 2] = 200
    pixels[:, :, 1] = np.linspace(0, 60, width).astype(np.uint8)
    return Pillow.fromarray(pixels)


def refused(path: Path) -> Reason:
    with pytest.raises(RefusedError) as caught:
        read_picture(path, CONFIG)
    return caught.value.reason


def close(pixels: np.ndarray, expected: Pillow.Image) -> bool:
    return bool(np.abs(pixels.astype(int) - np.array(expected).astype(int)).mean() < 6)


def test_a_photo_is_shrunk_and_named_by_its_bytes(tmp_path: Path) -> None:
    photo(1000, 600).save(tmp_path / "a.png")
    read = read_picture(tmp_path / "a.png", CONFIG)
    assert read.pixels.shape == (154, 256, 3)
    assert read.mends == ()
    assert len(read.sha256) == 64


@pytest.mark.parametrize("orientation", range(2, 9))
def test_exif_turns_a_photo_upright(tmp_path: Path, orientation: int) -> None:
    turns = {
        2: [Pillow.Transpose.FLIP_LEFT_RIGHT],
        3: [Pillow.Transpose.ROTATE_180],
        4: [Pillow.Transpose.FLIP_TOP_BOTTOM],
        5: [Pillow.Transpose.TRANSPOSE],
        6: [Pillow.Transpose.ROTATE_90],
        7: [Pillow.Transpose.TRANSVERSE],
        8: [Pillow.Transpose.ROTATE_270],
    }
    stored = photo()
    for turn in turns[orientation]:
        stored = stored.transpose(turn)
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.jpg", exif=exif, quality=95)
    read = read_picture(tmp_path / "a.jpg", CONFIG)
    assert close(read.pixels, photo())
    assert read.mends == (Mend.TURNED,)


def test_cmyk_is_made_rgb(tmp_path: Path) -> None:
    photo().convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    read = read_picture(tmp_path / "a.jpg", CONFIG)
    assert close(read.pixels, photo())
    assert read.mends == (Mend.CMYK,)


def test_sixteen_bits_are_made_eight(tmp_path: Path) -> None:
    grey = np.tile(np.linspace(0, 65535, 128).astype(np.uint16), (100, 1))
    Pillow.fromarray(grey).save(tmp_path / "grey.png")
    read = read_picture(tmp_path / "grey.png", CONFIG)
    assert read.mends == (Mend.DEEP,)
    assert np.abs(read.pixels[:, :, 1].astype(int) - (grey >> 8)).max() == 0
    (tmp_path / "rgb.png").write_bytes(deep_png(np.stack([grey, grey // 2, grey // 4], axis=2)))
    read = read_picture(tmp_path / "rgb.png", CONFIG)
    assert read.mends == (Mend.DEEP,)
    assert np.abs(read.pixels[:, :, 1].astype(int) - (grey // 2 >> 8)).max() <= 1


def test_transparent_pixels_are_white(tmp_path: Path) -> None:
    clear = photo().convert("RGBA")
    clear.putalpha(0)
    clear.save(tmp_path / "a.png")
    read = read_picture(tmp_path / "a.png", CONFIG)
    assert read.pixels.min() == 255
    assert read.mends == (Mend.CLEAR,)


def test_the_content_counts_not_the_name(tmp_path: Path) -> None:
    photo().save(tmp_path / "a.jpg", format="PNG")
    read = read_picture(tmp_path / "a.jpg", CONFIG)
    assert close(read.pixels, photo())
    assert read.mends == (Mend.MISLABELLED,)
    (tmp_path / "page.jpg").write_text("<html>moved</html>")
    assert refused(tmp_path / "page.jpg") == Reason.OTHER


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_moving_pictures_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    later = photo().transpose(Pillow.Transpose.ROTATE_180)
    photo().save(path, save_all=True, append_images=[later])
    assert refused(path) == Reason.ANIMATED


def test_a_phones_second_picture_in_a_jpeg_is_no_motion(tmp_path: Path) -> None:
    photo().save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[photo(64, 64)])
    assert close(read_picture(tmp_path / "a.jpg", CONFIG).pixels, photo())


def test_empty_missing_tiny_and_huge_files(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    assert refused(tmp_path / "empty.jpg") == Reason.EMPTY
    assert refused(tmp_path / "missing.jpg") == Reason.UNREADABLE
    photo(400, 40).save(tmp_path / "thin.png")
    assert refused(tmp_path / "thin.png") == Reason.TINY
    with (tmp_path / "long.jpg").open("wb") as stream:
        stream.truncate(LARGEST_FILE + 1)
    assert refused(tmp_path / "long.jpg") == Reason.HUGE


@pytest.mark.parametrize("megapixels", [100, 400])
def test_a_hundred_megapixels_without_unpacking_them(tmp_path: Path, megapixels: int) -> None:
    side = round(megapixels**0.5 * 1000)
    (tmp_path / "huge.png").write_bytes(png_of_size(side, side))
    assert refused(tmp_path / "huge.png") == Reason.HUGE


def test_a_large_jpeg_is_decoded_at_a_fraction(tmp_path: Path) -> None:
    photo(8000, 4000).save(tmp_path / "large.jpg")
    assert read_picture(tmp_path / "large.jpg", CONFIG).pixels.shape == (128, 256, 3)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "tiff", "bmp"])
def test_damage_anywhere_is_read_or_refused_never_an_accident(tmp_path: Path, suffix: str) -> None:
    stream = io.BytesIO()
    kind = {"jpg": "jpeg"}.get(suffix, suffix)
    photo().save(stream, format=kind)
    whole = stream.getvalue()
    path = tmp_path / f"a.{suffix}"
    rng = np.random.default_rng(0)
    broken = 0
    for turn in range(60):
        data = bytearray(whole)
        if turn % 3 == 0:
            del data[int(rng.integers(1, len(data))) :]
        else:
            for place in rng.integers(0, min(len(data), 400 * turn), 1 + turn // 4):
                data[place] = int(rng.integers(256))
        path.write_bytes(bytes(data))
        try:
            read_picture(path, CONFIG)
        except RefusedError:
            broken += 1
    assert broken > 10


def test_the_shorter_side_cannot_be_above_the_longer() -> None:
    with pytest.raises(ValueError, match="least_side"):
        ReadConfig(side=100, least_side=200)
