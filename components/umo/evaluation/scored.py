"""A benchmark scored for one model: the folder with `scores.json` that `umo evaluate` leaves.

`scores.json` holds cosines and boxes, never a mean, so every metric can be computed again from it
without a picture. Cosines are `similarity[embedder][M][N]`, M references and N faces; the first
embedder is the judge. `same` is the judge's cosine of two real photos of a person, where known.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from umo.errors import DiffersError, NotFoundError
from umo.evaluation.metrics import Values
from umo.files import read_manifest, sha256

FILE = "scores.json"
CELL = re.compile(r"(?P<file>.+)#(?P<cell>\d+)")
"""Name of a picture that is a cell of a grid."""
ROUNDING = 1e-3
"""How far from [-1, 1] a cosine may stray."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A picture of a person who was asked for."""

    name: str
    """Its file, below the benchmark's folder of references."""
    identity: str


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One generated picture."""

    name: str
    """Its file; `file#k` is cell k of a grid, row by row from 0."""
    error: str
    """Why it could not be scored; empty if it was."""
    boxes: Values
    """Faces `[N,4]`, xyxy pixels."""
    similarity: Mapping[str, Values]
    """Cosines `[M,N]` by embedder."""
    measures: Mapping[str, float]
    """What other models say of the whole picture, 0 to 100, higher is better."""

    @property
    def centres(self) -> Values:
        """Of the faces, from left to right, `[N]` pixels."""
        middle: Values = (self.boxes[:, 0] + self.boxes[:, 2]) / 2
        return middle


@dataclass(frozen=True, kw_only=True)
class Item:
    """One prompt and the model's pictures of it."""

    key: str
    prompt: str
    group: str
    """Number of people asked for, or another kind of task."""
    references: tuple[Reference, ...]
    arrangement: tuple[int, ...] | None
    """Place from the left that each reference was asked for; None if none was."""
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, kw_only=True)
class Scored:
    """All items of a benchmark under one model."""

    folder: Path
    digest: str
    """sha256 of `scores.json`."""
    model: str
    benchmark: str
    version: str
    """Digest of the benchmark's items."""
    expected: int
    """Items that the benchmark has."""
    cells: int
    """Pictures of an item, which are cells of one square grid where their names say so."""
    pack: str
    """The face pack's name."""
    look: str
    """How faces were seen, for example as the public scripts do."""
    embedders: tuple[str, ...]
    """The judge first."""
    items: Mapping[str, Item]
    """By key."""
    same: Mapping[str, float]
    """Judge's cosine of two real photos, by identity."""
    alike: tuple[Mapping[str, Any], ...]
    """Pairs whom the judge hardly tells apart: `identities`, and the cosine by embedder."""
    failures: tuple[Mapping[str, str], ...]
    """`key`, `name` and `error` of everything that could not be scored."""
    absent: tuple[str, ...]
    """Reference pictures that are not there."""


def read_scored(folder: Path, model: str = "") -> Scored:
    """Read a scored benchmark.

    Args:
        folder: With `scores.json` and its manifest.
        model: What to call the model; by default what the file calls it.

    Raises:
        NotFoundError: There is no manifest or no `scores.json`.
        DiffersError: `scores.json` is not the one of the manifest, or not a scored benchmark; an
            item or cosine that is wrong is named.
    """
    path = folder / FILE
    said = read_manifest(folder)["files"].get(FILE)
    if not path.is_file():
        raise NotFoundError(f"{folder} has no {FILE}", hint="score a benchmark there first")
    digest = sha256(path)
    if digest != said:
        raise DiffersError(f"{path} has sha256 {digest}, its manifest says {said}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        embedders = tuple(values["embedders"])
        items = [_item(entry, embedders, path) for entry in values["items"]]
        scored = Scored(
            folder=folder,
            digest=digest,
            model=model or str(values["model"]),
            benchmark=str(values["benchmark"]["name"]),
            version=str(values["benchmark"]["version"]),
            expected=int(values["benchmark"]["items"]),
            cells=int(values["benchmark"]["pictures"]),
            pack=str(values["pack"]),
            look=str(values.get("look", "")),
            embedders=embedders,
            items={item.key: item for item in items},
            same={str(k): float(v) for k, v in values.get("same", {}).items()},
            alike=tuple(values.get("alike", ())),
            failures=tuple(values.get("failures", ())),
            absent=tuple(values.get("absent", ())),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DiffersError(
            f"{path} is no scored benchmark: {error!r}",
            hint="name a folder that `umo evaluate` scored a benchmark in",
        ) from error
    twice = [key for key, count in Counter(item.key for item in items).items() if count > 1]
    if twice:
        raise DiffersError(f"{path} has item {twice[0]!r} twice", hint="score the benchmark again")
    return scored


def _item(entry: Mapping[str, Any], embedders: tuple[str, ...], path: Path) -> Item:
    key = str(entry["key"])
    where = f"{path}: item {key!r}"
    references = tuple(
        Reference(name=str(r["name"]), identity=str(r["identity"])) for r in entry["references"]
    )
    arrangement = entry.get("arrangement")
    if arrangement is not None and sorted(arrangement) != list(range(len(references))):
        raise DiffersError(f"{where} arranges {len(references)} people as {arrangement}")
    return Item(
        key=key,
        prompt=str(entry["prompt"]),
        group=str(entry["group"]),
        references=references,
        arrangement=None if arrangement is None else tuple(arrangement),
        pictures=tuple(
            _picture(picture, len(references), embedders, where) for picture in entry["pictures"]
        ),
    )


def _picture(
    entry: Mapping[str, Any], people: int, embedders: tuple[str, ...], where: str
) -> Picture:
    error = str(entry.get("error") or "")
    boxes = np.array([] if error else entry["boxes"], dtype=float).reshape(-1, 4)
    shape = (people, len(boxes))
    similarity = {
        name: np.zeros(shape) if error else np.array(entry["similarity"][name], dtype=float)
        for name in embedders
    }
    for name, cosines in similarity.items():
        if cosines.size != people * len(boxes) or len(cosines) != people:
            raise DiffersError(
                f"{where} has cosines {list(cosines.shape)} by {name} for {people} references and "
                f"{len(boxes)} faces"
            )
        if not (np.abs(cosines) <= 1 + ROUNDING).all():
            raise DiffersError(f"{where} has a cosine by {name} beyond [-1, 1]")
    return Picture(
        name=str(entry["name"]),
        error=error,
        boxes=boxes,
        similarity={name: cosines.reshape(shape) for name, cosines in similarity.items()},
        measures={
            str(name): float(value)
            for name, value in entry.get("measures", {}).items()
            if value is not None
        },
    )
