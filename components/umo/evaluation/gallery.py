"""The gallery of a comparison: the pictures that models disagree about most, with faces and lines.

Models disagree about a picture by the distance of the best and the worst ID-Sim of it; one model
alone shows its lowest ID-Sim first. A picture that is not at hand is told by its cosines alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from umo.data.schema import Image
from umo.errors import DiffersError, NotFoundError, UsageError
from umo.evaluation.comparison import SIMILARITY, Comparison
from umo.evaluation.figures import Panel, card
from umo.evaluation.metrics import assigned
from umo.evaluation.page import webp_uri
from umo.evaluation.pairing import Shot
from umo.evaluation.scored import CELL, Scored
from umo.evaluation.verdict import MISTAKES

BLANK = np.full((16, 144, 3), 160, np.uint8)
"""In place of a reference that is not at hand."""
QUALITY = 86


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where pictures are."""

    pictures: Mapping[str, Path]
    """Folder of each model's; a model may lack one."""
    references: Path | None = None
    """Folder of the people's."""


@dataclass(frozen=True, kw_only=True)
class View:
    """One model's picture."""

    label: str
    uri: str
    """Of the drawn card; empty if the picture is not at hand."""
    width: int
    height: int
    similarity: float
    """ID-Sim, x 100."""
    confidence: float | None
    """ID-Conf, x 100."""
    mistakes: Mapping[str, int]
    """How many people are missing, too many or mixed up; those that are 0 are left out."""
    cosines: tuple[float | None, ...]
    """Of each reference and the face assigned to it; None for a missing person."""


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """One prompt under every model."""

    shot: Shot
    prompt: str
    gap: float
    """Best minus worst ID-Sim, x 100."""
    views: tuple[View, ...]

    @property
    def mistakes(self) -> list[str]:
        """The mistakes that any model made."""
        return [name for name in MISTAKES if any(name in view.mistakes for view in self.views)]


def places_of(
    models: Sequence[Scored], pictures: Mapping[str, Path], references: Path | None
) -> Places:
    """Where pictures are: as named, else `pictures` and `references` beside the scores, if there.

    Raises:
        UsageError: A label is no model's.
        NotFoundError: A named folder does not exist.
    """
    labels = [model.model for model in models]
    for label, folder in [*pictures.items(), *([("", references)] if references else [])]:
        if label and label not in labels:
            raise UsageError(f"no model is called {label}", hint=f"there are {', '.join(labels)}")
        if not folder.is_dir():
            raise NotFoundError(f"no folder of pictures at {folder}")
    beside = {model.model: model.folder / "pictures" for model in models}
    kept = [model.folder / "references" for model in models]
    return Places(
        pictures={**{k: path for k, path in beside.items() if path.is_dir()}, **pictures},
        references=references or next((path for path in kept if path.is_dir()), None),
    )


def exhibits(comparison: Comparison, places: Places) -> list[Exhibit]:
    """Choose and draw, the largest disagreement first.

    Raises:
        NotFoundError: A folder of pictures lacks one that was scored.
        DiffersError: A file is no picture.
    """
    levels = np.array(
        [
            [
                values.mean() if len(values) else np.nan
                for values in comparison.values[label, comparison.judge, SIMILARITY]
            ]
            for label in comparison.labels
        ]
    )
    asked = np.flatnonzero(~np.isnan(levels).any(axis=0))
    gaps = levels[:, asked].max(axis=0) - levels[:, asked].min(axis=0)
    ranked = np.argsort(levels[0, asked] if len(levels) == 1 else -gaps, kind="stable")
    return [
        Exhibit(
            shot=comparison.shots[asked[row]],
            prompt=comparison.item(comparison.shots[asked[row]]).prompt,
            gap=100 * float(gaps[row]),
            views=tuple(
                _view(comparison, label, int(asked[row]), places) for label in comparison.labels
            ),
        )
        for row in ranked[: comparison.config.gallery]
    ]


def _view(comparison: Comparison, label: str, index: int, places: Places) -> View:
    shot = comparison.shots[index]
    picture = comparison.picture(label, shot)
    similarity = picture.similarity[comparison.judge]
    image = None
    if label in places.pictures:
        references = [
            _read(places.references, reference.name) if places.references else BLANK
            for reference in comparison.item(shot).references
        ]
        image = card(
            references,
            [
                Panel(
                    title=label,
                    picture=_read(places.pictures[label], picture.name, comparison.first.cells),
                    boxes=picture.boxes,
                    similarity=similarity,
                )
            ],
        )

    def value(name: str) -> float | None:
        values = comparison.values[label, comparison.judge, name][index]
        return float(values.mean()) if len(values) else None

    counts = {
        name: round(float(np.nansum(comparison.values[label, comparison.judge, name][index])))
        for name in MISTAKES
    }
    confidence = value(comparison.config.confidence)
    return View(
        label=label,
        uri=webp_uri(image, quality=QUALITY) if image else "",
        width=image.width if image else 0,
        height=image.height if image else 0,
        similarity=100 * float(value(SIMILARITY) or 0.0),
        confidence=None if confidence is None else 100 * confidence,
        mistakes={name: count for name, count in counts.items() if count},
        cosines=tuple(
            float(row[face]) if face >= 0 else None
            for row, face in zip(similarity, assigned(similarity), strict=True)
        ),
    )


def _read(folder: Path, name: str, cells: int = 1) -> Image:
    """A picture `[H,W,3]` by its name; see `umo.evaluation.scored.Picture.name`."""
    cell = CELL.fullmatch(name)
    path = folder / (cell["file"] if cell else name)
    try:
        with Pillow.open(path) as stored:
            pixels: Image = np.asarray(stored.convert("RGB"))
    except FileNotFoundError:
        raise NotFoundError(f"no picture at {path}", hint="name the folder it is in") from None
    except OSError as error:
        raise DiffersError(f"{path} is no picture: {error}") from error
    if not cell:
        return pixels
    side = math.isqrt(cells)
    row, column = divmod(int(cell["cell"]), side)
    height, width = pixels.shape[0] // side, pixels.shape[1] // side
    return pixels[row * height : (row + 1) * height, column * width : (column + 1) * width]
