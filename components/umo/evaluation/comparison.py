"""Models compared on the pictures that all of them have: levels and paired differences.

A picture that one model failed to paint, or that could not be scored, is left out for every model,
so that all numbers are of the same prompts; what is left out is kept by name, with the reason. A
criterion that has no value is None: not measured, never zero.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from umo.errors import UsageError
from umo.evaluation.criteria import CRITERIA, MEASURES, Criterion, Scene, measure
from umo.evaluation.metrics import Interval, Values, bootstrap
from umo.evaluation.pairing import LeftOut, Shot, pair
from umo.evaluation.scored import Item, Picture, Scored

SIMILARITY = "id_sim"
"""The criterion that models are ranked by."""


@dataclass(frozen=True, kw_only=True)
class ComparisonConfig:
    """How models are compared."""

    definition: Literal["paper", "scripts"] = "paper"
    """Whose ID-Conf stands in the verdict and in the table in the paper's form."""
    resamples: int = 10_000
    """Of the paired bootstrap."""
    seed: int = 0
    """Of the bootstrap."""
    gallery: int = 24
    """Most pictures shown."""

    def __post_init__(self) -> None:
        if self.resamples < 1:
            raise UsageError(f"resamples is {self.resamples}", hint="it must be at least 1")
        if self.gallery < 0:
            raise UsageError(f"gallery is {self.gallery}", hint="it must be at least 0")

    @property
    def confidence(self) -> str:
        """The criterion that stands for ID-Conf."""
        return "id_conf" if self.definition == "paper" else "id_conf_scripts"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Models on the same pictures; the first is what the others are held against."""

    models: Mapping[str, Scored]
    """By label."""
    criteria: Mapping[str, Criterion]
    shots: tuple[Shot, ...]
    left_out: tuple[LeftOut, ...]
    values: Mapping[tuple[str, str, str], Sequence[Values]]
    """(label, embedder, criterion) -> values of each shot, NaN where not measured."""
    config: ComparisonConfig
    _intervals: dict[tuple[str, ...], Interval | None] = field(default_factory=dict, repr=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the models, in the order they were named."""
        return tuple(self.models)

    @property
    def first(self) -> Scored:
        """The first model; all have its benchmark, face pack and embedders."""
        return next(iter(self.models.values()))

    @property
    def judge(self) -> str:
        """The embedder that counts."""
        return self.first.embedders[0]

    @property
    def groups(self) -> list[str]:
        """Groups of items: by number if all are numbers, else in the order of the items."""
        groups = list(dict.fromkeys(shot.group for shot in self.shots))
        return sorted(groups, key=int) if self.counted else groups

    @property
    def counted(self) -> bool:
        """Whether groups are numbers of people."""
        return all(shot.group.isdecimal() for shot in self.shots)

    @property
    def identities(self) -> list[str]:
        """Everybody who was asked for, in order of name."""
        return sorted({identity for shot in self.shots for identity in shot.identities})

    def measured(self, embedder: str) -> list[str]:
        """The criteria that have a value for any model."""
        return [
            name
            for name in self.criteria
            if any(self.level(label, name, embedder=embedder) for label in self.labels)
        ]

    def items(self, group: str = "") -> int:
        """How many items there are, or how many in a group."""
        return len({shot.key for shot in self.shots if group in ("", shot.group)})

    def by_item(
        self, label: str, criterion: str, *, embedder: str = "", group: str = ""
    ) -> list[Values]:
        """A criterion's measured values of each item, pooled over its pictures."""
        of_item: dict[str, list[Values]] = {}
        values = self.values[label, embedder or self.judge, criterion]
        for shot, of_shot in zip(self.shots, values, strict=True):
            if group in ("", shot.group):
                of_item.setdefault(shot.key, []).append(of_shot[~np.isnan(of_shot)])
        return [np.concatenate(rows) for rows in of_item.values()]

    def level(
        self, label: str, criterion: str, *, embedder: str = "", group: str = ""
    ) -> Interval | None:
        """A criterion x 100 with its 95 % interval; None if it was not measured."""
        return self._interval((label,), criterion, embedder or self.judge, group)

    def difference(
        self, label: str, over: str, criterion: str, *, embedder: str = "", group: str = ""
    ) -> Interval | None:
        """A model's level minus another's with the 95 % paired interval; None: not measured."""
        return self._interval((label, over), criterion, embedder or self.judge, group)

    def size(self, label: str, criterion: str) -> int:
        """How many references or pictures the judge's level is a mean of."""
        return _count(self.by_item(label, criterion))

    def total(self, label: str, criterion: str) -> float:
        """Sum of a criterion over all that was measured, by the judge: people, faces."""
        return float(sum(values.sum() for values in self.by_item(label, criterion)))

    def by_identity(self, label: str, criterion: str) -> dict[str, float | None]:
        """Mean x 100 of each person's values by the judge; None where there is none."""
        pooled: dict[str, list[float]] = {identity: [] for identity in self.identities}
        values = self.values[label, self.judge, criterion]
        for shot, of_shot in zip(self.shots, values, strict=True):
            for identity, value in zip(shot.identities, of_shot, strict=False):
                pooled[identity] += [] if np.isnan(value) else [float(value)]
        return {
            identity: 100 * float(np.mean(rows)) if rows else None
            for identity, rows in pooled.items()
        }

    def asked(self, identity: str) -> int:
        """In how many pictures of each model a person was asked for."""
        return sum(shot.identities.count(identity) for shot in self.shots)

    def picture(self, label: str, shot: Shot) -> Picture:
        """A model's picture."""
        return self.models[label].items[shot.key].pictures[shot.number]

    def item(self, shot: Shot) -> Item:
        """What was asked for."""
        return self.first.items[shot.key]

    def _interval(
        self, labels: tuple[str, ...], criterion: str, embedder: str, group: str
    ) -> Interval | None:
        key = (*labels, criterion, embedder, group)
        if key not in self._intervals:
            sides = [
                self.by_item(label, criterion, embedder=embedder, group=group) for label in labels
            ]
            rng = np.random.default_rng(self.config.seed)
            self._intervals[key] = (
                bootstrap(*sides, rng=rng, resamples=self.config.resamples)
                if all(map(_count, sides))
                else None
            )
        return self._intervals[key]


def compare(models: Sequence[Scored], config: ComparisonConfig | None = None) -> Comparison:
    """Pair the pictures of models and compute every criterion of every picture.

    Args:
        models: Of one benchmark, by one face pack; their labels are distinct.
        config: How to compare.

    Raises:
        UsageError: No model, or a label that stands twice.
        DiffersError: Benchmark, version, face pack or an item's people differ, or there is no
            picture that all models have.
    """
    by_label, shots, left_out = pair(models)
    named = {
        name
        for model in models
        for item in model.items.values()
        for picture in item.pictures
        for name in picture.measures
    }
    measures = dict.fromkeys([*MEASURES, *sorted(named)])
    criteria = {**CRITERIA, **{name: measure(name) for name in measures}}
    return Comparison(
        models=by_label,
        criteria=criteria,
        shots=shots,
        left_out=left_out,
        values={
            (label, embedder, name): [
                _values(criterion.values, model, shot, embedder) for shot in shots
            ]
            for label, model in by_label.items()
            for embedder in models[0].embedders
            for name, criterion in criteria.items()
        },
        config=config or ComparisonConfig(),
    )


def to_mapping(comparison: Comparison) -> dict[str, Any]:
    """All numbers as plain values for `comparison.json`; None is "not measured"."""
    first = comparison.first
    return {
        "benchmark": {
            "name": first.benchmark,
            "version": first.version,
            "items": comparison.items(),
            "pictures": len(comparison.shots),
            "references": sum(len(shot.identities) for shot in comparison.shots),
        },
        "pack": first.pack,
        "config": asdict(comparison.config),
        "criteria": {
            name: {"title": criterion.title, "better": criterion.better}
            for name, criterion in comparison.criteria.items()
        },
        "models": {
            label: {
                "scores": model.digest,
                "failures": [dict(failure) for failure in model.failures],
                **{
                    embedder: {
                        name: _numbers(comparison, label, name, embedder)
                        for name in comparison.criteria
                    }
                    for embedder in first.embedders
                },
                "identities": {
                    name: comparison.by_identity(label, name)
                    for name, criterion in comparison.criteria.items()
                    if criterion.per_reference
                },
                "groups": {
                    group: {
                        name: _plain(comparison.level(label, name, group=group))
                        for name in comparison.criteria
                    }
                    for group in comparison.groups
                },
            }
            for label, model in comparison.models.items()
        },
        "asked": {identity: comparison.asked(identity) for identity in comparison.identities},
        "alike": [dict(pair) for pair in first.alike],
        "left_out": [asdict(left) for left in comparison.left_out],
    }


def _numbers(comparison: Comparison, label: str, name: str, embedder: str) -> dict[str, Any] | None:
    level = comparison.level(label, name, embedder=embedder)
    if level is None:
        return None
    base = comparison.labels[0]
    over = comparison.difference(label, base, name, embedder=embedder) if label != base else None
    return {
        **asdict(level),
        "n": _count(comparison.by_item(label, name, embedder=embedder)),
        "difference": _plain(over),
    }


def _plain(interval: Interval | None) -> dict[str, float] | None:
    return asdict(interval) if interval else None


def _count(values: Sequence[Values]) -> int:
    return sum(len(of_item) for of_item in values)


def _values(values: Callable[[Scene], Values], model: Scored, shot: Shot, embedder: str) -> Values:
    item = model.items[shot.key]
    picture = item.pictures[shot.number]
    known = model.same if embedder == model.embedders[0] else {}
    same = np.array([known.get(identity, np.nan) for identity in shot.identities])
    return values(
        Scene(
            similarity=picture.similarity[embedder],
            centres=picture.centres,
            arrangement=item.arrangement,
            same=same,
            measures=picture.measures,
        )
    )
