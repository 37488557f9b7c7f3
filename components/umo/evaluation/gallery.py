"""The gallery of a comparison: where models disagree and where the best one fails.

Models disagree about a picture by the distance of the best and the worst ID-Sim of it. The largest
disagreements and the lowest ID-Sim of the best model are chosen in turn; an item has its second
picture only when all have their first. A picture that is not at hand is told by its cosines alone.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from umo.data.schema import Image
from umo.errors import DiffersError, NotFoundError, UsageError
from umo.evaluation.comparison import SIMILARITY, Comparison
from umo.evaluation.figures import Panel, card
from umo.evaluation.metrics import assigned
from umo.evaluation.page import webp_uri
from umo.evaluation.pairing import Shot
from umo.evaluation.scored import CELL, Scored
from umo.evaluation.verdict import MISTAKES, ranking

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
    """Where pictures are: as named, else where `umo evaluate` has them, if they are there.

    That is, for scores in `scores/LABEL` of a folder, its `pictures/LABEL` and its `benchmark`.

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
    runs = {model.model: model.folder.absolute().parents[1] for model in models}
    painted = {
        model.model: runs[model.model] / "pictures" / model.folder.absolute().name
        for model in models
    }
    kept = [run / "benchmark" for run in runs.values()]
    return Places(
        pictures={**{k: path for k, path in painted.items() if path.is_dir()}, **pictures},
        references=references or next((path for path in kept if path.is_dir()), None),
    )


def exhibits(comparison: Comparison, places: Places) -> list[Exhibit]:
    """Choose and draw, the largest disagreement first.

    Raises:
        NotFoundError: A folder of pictures lacks one that was scored.
        DiffersError: A file is no picture.
    """
    labels = comparison.labels
    levels = {
        index: [_similarity(comparison, label, index) for label in labels]
        for index, shot in enumerate(comparison.shots)
        if shot.identities
    }
    gaps = {index: max(values) - min(values) for index, values in levels.items()}
    best = labels.index(ranking(comparison)[0])
    apart = _items_in_turn(comparison, sorted(levels, key=lambda index: -gaps[index]))
    failing = _items_in_turn(comparison, sorted(levels, key=lambda index: levels[index][best]))
    order = failing if len(labels) == 1 else chain.from_iterable(zip(apart, failing, strict=True))
    chosen = list(dict.fromkeys(order))[: comparison.config.gallery]
    return [
        Exhibit(
            shot=comparison.shots[index],
            prompt=comparison.item(comparison.shots[index]).prompt,
            gap=gaps[index],
            views=tuple(_view(comparison, label, index, places) for label in labels),
        )
        for index in sorted(chosen, key=lambda index: (-gaps[index], levels[index][best]))
    ]


def _items_in_turn(comparison: Comparison, order: Sequence[int]) -> list[int]:
    """Pictures in an order of their own, but every item's first before any item's second."""
    before: Counter[str] = Counter()
    rank = {}
    for index in order:
        key = comparison.shots[index].key
        rank[index] = before[key]
        before[key] += 1
    return sorted(order, key=lambda index: rank[index])


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
            captions=False,
        )

    counts = {
        name: round(float(np.nansum(comparison.values[label, comparison.judge, name][index])))
        for name in MISTAKES
    }
    confidence = comparison.values[label, comparison.judge, comparison.config.confidence][index]
    return View(
        label=label,
        uri=webp_uri(image, quality=QUALITY) if image else "",
        width=image.width if image else 0,
        height=image.height if image else 0,
        similarity=_similarity(comparison, label, index),
        confidence=100 * float(confidence.mean()) if len(confidence) else None,
        mistakes={name: count for name, count in counts.items() if count},
        cosines=tuple(
            float(row[face]) if face >= 0 else None
            for row, face in zip(similarity, assigned(similarity), strict=True)
        ),
    )


def _similarity(comparison: Comparison, label: str, index: int) -> float:
    """ID-Sim of one picture that asks for people, by the judge, x 100."""
    return 100 * float(comparison.values[label, comparison.judge, SIMILARITY][index].mean())


def _read(folder: Path, name: str, cells: int = 1) -> Image:
    """A picture `[H,W,3]` by its name; see `umo.evaluation.scored.Picture.name`."""
    cell = CELL.fullmatch(name)
    path = folder / (cell["file"] if cell else name)
    try:
        with Pillow.open(path) as stored:
            pixels: Image = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
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
