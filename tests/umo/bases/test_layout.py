"""How each base frames references and what it paints by itself: each as its publisher does."""

import numpy as np
import pytest
import torch
from PIL import Image

from services.bases import tiny_flux, tiny_flux2
from umo.bases.embedded import tiny
from umo.bases.flux2_pictures import Flux2Layout
from umo.bases.layout import Tiles, picture_size
from umo.bases.omnigen2_pictures import OmniGen2Layout
from umo.bases.omnigen2_tiny import tiny as tiny_omnigen2
from umo.bases.references import UnoLayout
from umo.errors import UsageError

TILES = Tiles(side=96, most=4)


def noise(width: int, height: int) -> Image.Image:
    generator = np.random.default_rng(0)
    return Image.fromarray(generator.integers(0, 255, (height, width, 3), np.uint8))


def test_every_base_has_its_own() -> None:
    assert tiny(0).layout == TILES
    assert isinstance(tiny_flux().layout, UnoLayout)
    assert isinstance(tiny_flux2().layout, Flux2Layout)
    assert isinstance(tiny_omnigen2(0).layout, OmniGen2Layout)


def test_the_embedded_base_paints_a_tile_for_each_person() -> None:
    sizes = [picture_size(TILES, people, None, None) for people in (1, 2, 4)]
    assert sizes == [(96, 96), (192, 96), (384, 96)]


def test_the_references_of_the_embedded_base_are_tiles() -> None:
    tile = noise(96, 96)
    assert TILES.frame(tile, 2).tobytes() == tile.tobytes()
    wide = Image.new("RGB", (300, 100), "black")
    wide.paste("white", (100, 0, 200, 100))
    framed = np.asarray(TILES.frame(wide, 2))
    assert framed.shape == (96, 96, 3)
    assert framed[:, 4:-4].min() == 255


@pytest.mark.parametrize(
    ("size", "people", "expected"),
    [
        ((1000, 700), 1, (512, 352)),
        ((333, 1000), 1, (160, 512)),
        ((100, 50), 1, (512, 256)),
        ((700, 1000), 2, (224, 320)),
        ((4000, 20), 3, (320, 16)),
    ],
)
def test_uno_sees_one_reference_larger_than_several(
    size: tuple[int, int], people: int, expected: tuple[int, int]
) -> None:
    assert UnoLayout().frame(Image.new("RGB", size), people).size == expected


@pytest.mark.parametrize("people", [1, 3])
def test_omnigen2_never_enlarges_and_keeps_the_whole_picture(people: int) -> None:
    picture = noise(700, 500)
    framed = OmniGen2Layout().frame(picture, people)
    expected = picture.resize((688, 496), Image.Resampling.LANCZOS)
    assert framed.tobytes() == expected.tobytes()
    assert OmniGen2Layout().frame(noise(3000, 1500), people).size == (1024, 512)


def test_flux2_sees_what_its_pipeline_sees() -> None:
    base = tiny_flux2()
    seen = []
    base.pipeline.set_progress_bar_config(disable=True)
    base.pipeline.prepare_image_latents = lambda images, **_: seen.extend(images) or 1 / 0
    pictures = [noise(100, 75), noise(1500, 1201)]
    with pytest.raises(ZeroDivisionError):
        base.pipeline(image=pictures, prompt="two people", num_inference_steps=1)
    for picture, theirs in zip(pictures, seen, strict=True):
        ours = np.array(base.layout.frame(picture, 2))
        pixels = torch.from_numpy(ours).permute(2, 0, 1) / 127.5 - 1
        assert torch.allclose(pixels, theirs[0], atol=1e-6)
    with pytest.raises(UsageError, match=r"too small: 40.60"):
        base.layout.frame(noise(40, 60), 1)


def test_one_side_is_completed() -> None:
    assert picture_size(UnoLayout(), 2, 768, None) == (768, 512)
    assert picture_size(TILES, 2, None, 64) == (192, 64)
    assert picture_size(OmniGen2Layout(), 1, None, None) == (1024, 1024)


def test_more_pixels_than_the_base_paints_are_refused() -> None:
    with pytest.raises(UsageError, match="its own size is 192 x 96"):
        picture_size(TILES, 2, 512, 512)
    assert picture_size(UnoLayout(), 2, 1024, 1024) == (1024, 1024)
