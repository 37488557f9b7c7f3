"""Base, champion and candidate on the same items: what each painted, and who gained.

The numbers come from the pictures' own cosines in `scores.json`, never from a mean that somebody
wrote down. A champion stands beside the candidate if the candidate's evaluation painted it too, or
if its own evaluation did so with the same items, face pack and settings.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from umo.errors import DiffersError
from umo.evaluation.metrics import (
    METRICS,
    FaceCount,
    Interval,
    Values,
    bootstrap,
    count_faces,
    mean,
)
from umo.files import read_manifest

BASE, CHAMPION, CANDIDATE = "base", "champion", "candidate"
EMBEDDERS = ("judge", "reward")
SETTINGS = ("steps", "guidance", "images_per_prompt", "seed")
"""Settings of an evaluation that decide what is painted."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A registered model version and the folder where it was judged."""

    name: str
    """What a person calls it: registered model and version."""
    weights: str
    """Digest of its weights."""
    evaluation: Path
    """Folder that `umo.evaluation` wrote."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture of one model."""

    file: Path
    """PNG."""
    seed: int
    """What it was painted with."""
    boxes: Values
    """Face boxes `[N,4]`, xyxy pixels."""
    similarity: Mapping[str, Values]
    """Cosines `[M,N]` of references and faces, by embedder."""
    measures: Mapping[str, float]
    """Other scores of the picture, 0 to 100, for example `prompt_following`."""

    def score(self, metric: str) -> float:
        """A metric of the picture alone, by the judge, x 100."""
        return mean([METRICS[metric](self.similarity["judge"])])

    @property
    def faces(self) -> FaceCount:
        """Faces found, missing and extra."""
        return count_faces(self.similarity["judge"])


@dataclass(frozen=True, kw_only=True)
class Item:
    """One held-out prompt and what every model made of it."""

    key: str
    """Of the held-out sample."""
    index: int
    """Where it is in the held-out dataset."""
    prompt: str
    identities: tuple[str, ...]
    """Who the references are."""
    pictures: Mapping[str, tuple[Picture, ...]]
    """By role: base, champion, candidate; the same seeds in the same order."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The items of an evaluation under two or three models."""

    items: tuple[Item, ...]
    """In the order of the held-out dataset."""
    summary: Mapping[str, Any]
    """Of the candidate's evaluation."""
    labels: Mapping[str, str]
    """Role -> what the evaluation it was painted in calls the model."""
    names: Mapping[str, str]
    """Role -> what a person calls the model."""
    note: str = ""
    """Why there is no champion beside the candidate, if there is one at all."""

    @property
    def roles(self) -> tuple[str, ...]:
        """The models, base first, candidate last."""
        return tuple(self.labels)

    def values(self, role: str, metric: str, embedder: str = "judge") -> list[Values]:
        """A metric's values of each item, over its pictures and references."""
        return [
            np.concatenate([METRICS[metric](p.similarity[embedder]) for p in item.pictures[role]])
            for item in self.items
        ]

    def gain(
        self, metric: str, *, embedder: str = "judge", over: str = BASE, role: str = CANDIDATE
    ) -> Interval:
        """Difference of two models in a metric x 100, with its 95 % paired interval."""
        return self._interval(
            self.values(role, metric, embedder), self.values(over, metric, embedder)
        )

    def level(self, role: str, metric: str, embedder: str = "judge") -> Interval:
        """A model's metric x 100, with its 95 % interval."""
        return self._interval(self.values(role, metric, embedder))

    def with_people(self, count: int) -> "Comparison":
        """The items with this many people alone."""
        return replace(self, items=tuple(i for i in self.items if len(i.identities) == count))

    def measure_gain(self, measure: str) -> Interval | None:
        """The candidate's difference from base in another measure; None unless all have it."""
        sides = [
            [[p.measures.get(measure) for p in item.pictures[role]] for item in self.items]
            for role in (CANDIDATE, BASE)
        ]
        if any(value is None for side in sides for values in side for value in values):
            return None
        candidate, base = ([np.array(v, dtype=float) / 100 for v in side] for side in sides)
        return self._interval(candidate, base)

    def faces_found(self, role: str) -> int:
        """Faces found in all pictures, at most as many as references."""
        return sum(p.faces.found for item in self.items for p in item.pictures[role])

    def _interval(self, values: list[Values], minus: list[Values] | None = None) -> Interval:
        config = self.summary["config"]
        rng = np.random.default_rng(config["seed"])
        return bootstrap(values, minus, rng=rng, resamples=config["resamples"])


def compare(candidate: Subject, champion: Subject | None = None) -> Comparison:
    """Read what base, champion and candidate painted.

    Raises:
        NotFoundError: A folder has no manifest.
        DiffersError: A file is not the one its manifest names, the folder is no evaluation, or the
            candidate's weights were not judged in it.
    """
    own = _Folder(candidate.evaluation)
    labels = {BASE: own.base, CANDIDATE: own.label(candidate.weights)}
    names = {BASE: own.summary["lineage"]["base"]["name"], CANDIDATE: candidate.name}
    sources = {BASE: own, CANDIDATE: own}
    note = ""
    if champion:
        other = own if champion.weights in own.digests.values() else _Folder(champion.evaluation)
        note = own.difference(other)
        if not note:
            labels = {BASE: own.base, CHAMPION: other.label(champion.weights), **labels}
            names[CHAMPION] = champion.name
            sources[CHAMPION] = other
    try:
        items = tuple(
            _item(row, {role: (sources[role], label) for role, label in labels.items()})
            for row in own.scores
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DiffersError(f"{own.path} holds no scores of umo: {error!r}") from error
    return Comparison(items=items, summary=own.summary, labels=labels, names=names, note=note)


class _Folder:
    """A verified evaluation folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        manifest = read_manifest(path, verify=True)
        if manifest.get("kind") != "evaluation":
            raise DiffersError(
                f"{path} holds a {manifest.get('kind')!r}, not an 'evaluation'",
                hint="name a folder that `umo evaluate` wrote",
            )
        try:
            self.summary: dict[str, Any] = json.loads((path / "summary.json").read_text())
            self.scores: list[dict[str, Any]] = json.loads((path / "scores.json").read_text())
            self.base: str = self.summary["base"]
            self.digests: dict[str, str] = {
                label: made["digest"]
                for label, made in self.summary["lineage"]["models"].items()
                if made
            }
            self.rows = {row["key"]: row for row in self.scores}
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise DiffersError(f"{path} is no evaluation of umo: {error!r}") from error

    def label(self, weights: str) -> str:
        """What the weights are called here."""
        for label, digest in self.digests.items():
            if digest == weights:
                return label
        judged = ", ".join(f"{label} {digest}" for label, digest in self.digests.items())
        raise DiffersError(
            f"{self.path} judged {judged or 'no tuned model'}, not the weights {weights}",
            hint="evaluate these weights",
        )

    def difference(self, other: "_Folder") -> str:
        """Why pictures of `other` cannot stand beside these; empty if they can."""
        ours, theirs = self._terms(), other._terms()
        for name, value in ours.items():
            if theirs[name] != value:
                return f"the champion was judged with {name} {theirs[name]}, here it is {value}"
        return ""

    def _terms(self) -> dict[str, Any]:
        lineage, config = self.summary["lineage"], self.summary["config"]
        return {
            "dataset": lineage["dataset"]["digest"],
            "face pack": lineage["face_pack"]["digest"],
            **{name: config[name] for name in SETTINGS},
        }


def _item(row: Mapping[str, Any], sources: Mapping[str, tuple[_Folder, str]]) -> Item:
    people = len(row["identities"])
    return Item(
        key=row["key"],
        index=row["index"],
        prompt=row["prompt"],
        identities=tuple(row["identities"]),
        pictures={
            role: tuple(
                _picture(folder.path, picture, people)
                for picture in folder.rows[row["key"]]["models"][label]
            )
            for role, (folder, label) in sources.items()
        },
    )


def _picture(folder: Path, entry: Mapping[str, Any], people: int) -> Picture:
    return Picture(
        file=folder / entry["file"],
        seed=entry["seed"],
        boxes=np.array(entry["boxes"], dtype=float).reshape(-1, 4),
        similarity={
            name: np.array(entry[name]["similarity"], dtype=float).reshape(people, -1)
            for name in EMBEDDERS
        },
        measures=entry.get("measures", {}),
    )
