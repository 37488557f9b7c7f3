import numpy as np
import pytest
from PIL import Image

from umo.errors import UsageError
from umo_serving.layout import EMBEDDED, FLUX, layout_of, picture_size


def test_the_embedded_base_paints_a_tile_for_each_person() -> None:
    layout = layout_of("embedded")
    assert [picture_size(layout, people, None, None) for people in (1, 2, 4)] == [
        (96, 96),
        (192, 96),
        (384, 96),
    ]


def test_the_references_of_the_embedded_base_are_tiles() -> None:
    tile = Image.fromarray(np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8))
    assert EMBEDDED.frame(tile, 2).tobytes() == tile.tobytes()
    wide = Image.new("RGB", (300, 100), "black")
    wide.paste("white", (100, 0, 200, 100))
    framed = np.asarray(EMBEDDED.frame(wide, 2))
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
def test_flux_frames_references_as_uno_does(
    size: tuple[int, int], people: int, expected: tuple[int, int]
) -> None:
    assert FLUX.frame(Image.new("RGB", size), people).size == expected


def test_one_side_is_completed() -> None:
    assert picture_size(FLUX, 2, 768, None) == (768, 512)
    assert picture_size(EMBEDDED, 2, None, 64) == (192, 64)


def test_more_pixels_than_the_base_paints_are_refused() -> None:
    with pytest.raises(UsageError, match="its own size is 192 x 96"):
        picture_size(EMBEDDED, 2, 512, 512)
    assert picture_size(FLUX, 2, 1024, 1024) == (1024, 1024)
