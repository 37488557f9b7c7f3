"""Cards: people's colours lead to the faces that the assignment gives them."""

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageColor

from umo.data.schema import Image
from umo.evaluation.figures import COLOURS, GREY, MISSING, Panel, card, grid

BLACK = np.zeros((96, 192, 3), np.uint8)
REFERENCES = [np.full((96, 96, 3), 30, np.uint8), np.full((96, 96, 3), 60, np.uint8)]
ZOOM = 216 / 96
TOP = 216


def panel(boxes: list[list[float]], similarity: list[list[float]]) -> Panel:
    return Panel(
        title="base",
        picture=BLACK,
        boxes=np.array(boxes, dtype=float).reshape(-1, 4),
        similarity=np.array(similarity, dtype=float).reshape(2, -1),
    )


def colours_in(image: Pillow.Image, left: float, right: float) -> set[str]:
    """Palette colours on the picture (below the gutter) between two of its columns."""
    pixels = np.asarray(image.convert("RGB"))
    height = round(96 * ZOOM)
    start = image.height - 56 - height
    part = pixels[start : start + height, round(left * ZOOM) : round(right * ZOOM)].reshape(-1, 3)
    seen = {tuple(colour) for colour in part.tolist()}
    palette = (*COLOURS, GREY, MISSING)
    return {colour for colour in palette if ImageColor.getrgb(colour) in seen}


FACES = [[20.0, 20.0, 70.0, 80.0], [120.0, 20.0, 170.0, 80.0]]


@pytest.mark.parametrize(
    ("similarity", "left", "right"),
    [
        ([[0.9, 0.1], [0.1, 0.8]], COLOURS[0], COLOURS[1]),
        ([[0.1, 0.9], [0.8, 0.1]], COLOURS[1], COLOURS[0]),
    ],
)
def test_faces_have_the_colour_of_their_person(
    similarity: list[list[float]], left: str, right: str
) -> None:
    drawn = card(REFERENCES, [panel(FACES, similarity)])
    assert colours_in(drawn, 15, 75) == {left}
    assert colours_in(drawn, 115, 175) == {right}


def test_a_missing_person_is_marked_and_an_extra_face_is_grey() -> None:
    missing = np.asarray(card(REFERENCES, [panel(FACES[:1], [[0.2], [0.9]])]).convert("RGB"))
    assert (missing == ImageColor.getrgb(MISSING)).all(axis=2).any()
    extra = [*FACES, [80.0, 20.0, 110.0, 60.0]]
    drawn = card(REFERENCES, [panel(extra, [[0.9, 0.1, 0.0], [0.1, 0.8, 0.0]])])
    assert colours_in(drawn, 78, 112) == {GREY}


def test_a_picture_without_faces_can_be_drawn() -> None:
    assert colours_in(card(REFERENCES, [panel([], [[], []])]), 0, 192) == set()


@pytest.mark.parametrize("people", [1, 4])
@pytest.mark.parametrize("shape", [(96, 96), (768, 768), (512, 1024)])
def test_sizes(people: int, shape: tuple[int, int]) -> None:
    references: list[Image] = [np.zeros((120, 80, 3), np.uint8)] * people
    one = Panel(
        title="base",
        picture=np.zeros((*shape, 3), np.uint8),
        boxes=np.zeros((0, 4)),
        similarity=np.zeros((people, 0)),
    )
    single, double = card(references, [one]), card(references, [one, one])
    assert single.width == double.width >= 144 * people
    assert double.height > single.height
    sheet = grid([single, double, single], columns=2)
    assert sheet.width > 2 * single.width
    assert sheet.height > double.height + single.height


def test_captions_may_be_left_to_the_page() -> None:
    one = panel(FACES, [[0.9, 0.1], [0.1, 0.8]])
    whole, bare = (card(REFERENCES, [one], captions=captions) for captions in (True, False))
    assert whole.crop((0, 0, *bare.size)).tobytes() == bare.tobytes()
    assert whole.height > bare.height
