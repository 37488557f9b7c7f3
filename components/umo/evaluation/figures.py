"""Cards: one item's references above every model's picture, with faces, assignment and cosines.

Each person has a colour. A line leads from the reference to the face that the Hungarian assignment
gives it, with the judge's cosine at its end; a person without a face is marked at the reference; a
face that nobody is assigned to has a grey box. Cards are transparent with grey text, for light and
dark pages.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from scipy.optimize import linear_sum_assignment

from umo.data.schema import Image
from umo.evaluation.metrics import Values, id_conf, id_sim, mean

COLOURS = ("#e69f00", "#56b4e9", "#21b685", "#e07fb5", "#f0e442", "#d55e00")
"""Of the people, in order; distinguishable with colour-blind eyes (Okabe and Ito)."""
GREY = "#7d7d7d"
MISSING = "#d0342c"
TILE = 216
"""Least height of a drawn picture, pixels; a person has two thirds of it in width."""
GUTTER, CAPTION, GAP, MARGIN = 58, 56, 28, 16
FONT = 17


@dataclass(frozen=True, kw_only=True)
class Panel:
    """What one model painted for an item."""

    title: str
    """The model's."""
    picture: Image
    """`[H,W,3]`."""
    boxes: Values
    """Faces `[N,4]`, xyxy pixels of the picture."""
    similarity: Values
    """Judge's cosines `[M,N]` of the item's references and these faces."""


def card(
    references: Sequence[Image], panels: Sequence[Panel], *, captions: bool = True
) -> Pillow.Image:
    """Draw one item: RGBA, as wide as its enlarged pictures.

    Args:
        references: One picture of each person, in the order of the similarities' rows.
        panels: One for each model, all pictures of one size.
        captions: Whether title, ID-Sim and ID-Conf stand under each picture.
    """
    height, width, _ = panels[0].picture.shape
    zoom = max(TILE / height, len(references) * TILE * 2 / 3 / width)
    width, height = round(width * zoom), round(height * zoom)
    slot = width / len(references)
    thumbs = [_fit(reference, slot - 8, TILE) for reference in references]
    top = max(thumb.height for thumb in thumbs) + 8
    step = GUTTER + height + (CAPTION if captions else 0)
    canvas = Pillow.new("RGBA", (width, top + step * len(panels)))
    draw = ImageDraw.Draw(canvas)
    centres = [slot * (person + 0.5) for person in range(len(references))]
    for person, thumb in enumerate(thumbs):
        left, upper = round(centres[person] - thumb.width / 2), (top - thumb.height) // 2
        draw.rectangle(
            (left - 4, upper - 4, left + thumb.width + 3, upper + thumb.height + 3),
            fill=colour(person),
        )
        canvas.paste(thumb, (left, upper))
    for row, panel in enumerate(panels):
        start = top + row * step
        picture = Pillow.fromarray(panel.picture).resize((width, height), Pillow.Resampling.LANCZOS)
        canvas.paste(picture, (0, start + GUTTER))
        _draw_faces(draw, panel, centres, start, zoom)
        if captions:
            _draw_caption(draw, panel, start + GUTTER + height)
    return canvas


def grid(cards: Sequence[Pillow.Image], *, columns: int) -> Pillow.Image:
    """Cards side by side on white, in rows of `columns`."""
    rows = [cards[start : start + columns] for start in range(0, len(cards), columns)]
    width = max(sum(c.width + GAP for c in row) - GAP for row in rows) + 2 * MARGIN
    heights = [max(c.height for c in row) + GAP for row in rows]
    canvas = Pillow.new("RGB", (width, sum(heights) - GAP + 2 * MARGIN), "white")
    upper = MARGIN
    for row, height in zip(rows, heights, strict=True):
        left = MARGIN
        for item in row:
            canvas.paste(item, (left, upper), item)
            left += item.width + GAP
        upper += height
    return canvas


def colour(person: int) -> str:
    """The colour of a person, by number."""
    return COLOURS[person % len(COLOURS)]


def _draw_faces(
    draw: ImageDraw.ImageDraw, panel: Panel, centres: Sequence[float], top: float, zoom: float
) -> None:
    people, faces = linear_sum_assignment(panel.similarity, maximize=True)
    owner = dict(zip(faces.tolist(), people.tolist(), strict=True))
    boxes = panel.boxes * zoom + np.array([0, top + GUTTER, 0, top + GUTTER])
    for face, box in enumerate(boxes):
        tone = colour(owner[face]) if face in owner else GREY
        draw.rectangle(tuple(box), outline=tone, width=3)
    for face, person in owner.items():
        left, upper, right, _ = boxes[face]
        label = ((left + right) / 2, top + GUTTER - 14)
        draw.circle((centres[person], top + 8), 6, fill=colour(person))
        draw.line(((centres[person], top + 8), label), fill=colour(person), width=4)
        draw.line((label, (label[0], max(upper, label[1]))), fill=colour(person), width=2)
    for face, person in owner.items():
        middle = (boxes[face][0] + boxes[face][2]) / 2
        cosine = panel.similarity[person, face]
        _pill(draw, f"{cosine:.2f}", (middle, top + GUTTER - 14), colour(person), "black")
    for person in set(range(len(centres))) - set(owner.values()):
        _pill(draw, "missing", (centres[person], top + 13), MISSING, "white")


def _draw_caption(draw: ImageDraw.ImageDraw, panel: Panel, top: float) -> None:
    similarity = mean([id_sim(panel.similarity)])
    confidence = mean([id_conf(panel.similarity)])
    draw.text((0, top + 2), panel.title, fill=GREY, font=_font(), stroke_width=0.4)
    scores = f"ID-Sim {similarity:.0f}   ID-Conf {confidence:.0f}"
    draw.text((0, top + 3 + FONT), scores, fill=GREY, font=_font())


def _pill(
    draw: ImageDraw.ImageDraw, text: str, centre: tuple[float, float], fill: str, ink: str
) -> None:
    half = draw.textlength(text, font=_font()) / 2 + 6
    x, y = centre
    draw.rounded_rectangle((x - half, y - 12, x + half, y + 12), radius=6, fill=fill)
    draw.text((x, y), text, fill=ink, font=_font(), anchor="mm", stroke_width=0.3)


def _fit(picture: Image, width: float, height: float) -> Pillow.Image:
    image = Pillow.fromarray(picture)
    zoom = min(width / image.width, height / image.height)
    size = (round(image.width * zoom), round(image.height * zoom))
    return image.resize(size, Pillow.Resampling.LANCZOS)


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(FONT)
