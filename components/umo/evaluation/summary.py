"""From measured pictures to the summary: metrics, paired gains and the gap closed.

`gap_closed` of a tuned model is the share of what base leaves open in ID-Sim by the judge:

    gap_closed = (tuned - base) / (same - base)

with `same` the mean cosine of two views of one person (`umo.evaluation.heldout`). It is the same
number on the scale where 0 is `different` and 1 is `same`: the zero point cancels. It is None where
base already reaches `same`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from umo.evaluation.heldout import Item, scale
from umo.evaluation.measure import EMBEDDERS, Measured
from umo.evaluation.metrics import METRICS, Values, bootstrap, count_faces, mean

Pictures = Sequence[Sequence[Measured]]
"""The pictures of each item, in the order of the items."""


def summarise(
    items: Sequence[Item],
    models: Mapping[str, Pictures],
    *,
    base: str,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Everything that the comparison says in numbers.

    Args:
        items: The held-out items.
        models: Pictures of each item by each model.
        base: The label that the others are compared with.
        resamples: Of the bootstrap.
        seed: Of the bootstrap; every metric sees the same resamples.

    Returns:
        `items`, `people` (distinct identities), `pictures` (by each model), `models` (label ->
        `judge` and `reward`, each with every metric x 100, and the face counts), `dataset` (the
        same of the held-out pictures themselves: the ceiling), `gain` (label -> metric -> `mean`,
        `low`, `high`, by the judge, 95 % paired), `gap_closed` (label -> share), `scale`
        (`different`, `same`, as cosines) and `by_people` (number of people -> `items`, `scale`,
        `models`, each with an interval of its ID-Sim by the judge).
    """

    def interval(values: list[Values], minus: list[Values] | None = None) -> dict[str, float]:
        rng = np.random.default_rng(seed)
        return asdict(bootstrap(values, minus, rng=rng, resamples=resamples))

    ends = scale(items)
    scores = {label: _scores(pictures) for label, pictures in models.items()}
    tuned = [label for label in models if label != base]
    return {
        "items": len(items),
        "people": len({identity for item in items for identity in item.identities}),
        "pictures": sum(len(pictures) for pictures in models[base]),
        "models": scores,
        "dataset": _scores([[item.target] for item in items]),
        "gain": {
            label: {
                name: interval(values_of(models[label], name), values_of(models[base], name))
                for name in METRICS
            }
            for label in tuned
        },
        "gap_closed": {
            label: _gap_closed(
                scores[label]["judge"]["id_sim"], scores[base]["judge"]["id_sim"], ends["same"]
            )
            for label in tuned
        },
        "scale": ends,
        "by_people": {
            str(people): {
                "items": len(rows),
                "scale": scale([items[row] for row in rows]),
                "models": {
                    label: {
                        **_scores([pictures[row] for row in rows]),
                        "id_sim": interval(values_of([pictures[row] for row in rows], "id_sim")),
                    }
                    for label, pictures in models.items()
                },
            }
            for people, rows in _rows_by_people(items).items()
        },
    }


def values_of(pictures: Pictures, metric: str, embedder: str = "judge") -> list[Values]:
    """A metric's values of each item, over its pictures and references, as cosines or shares."""
    return [
        np.concatenate([METRICS[metric](p.similarity[embedder]) for p in of_item])
        for of_item in pictures
    ]


def _scores(pictures: Pictures) -> dict[str, Any]:
    counts = [count_faces(p.similarity["judge"]) for of_item in pictures for p in of_item]
    return {
        **{
            embedder: {name: mean(values_of(pictures, name, embedder)) for name in METRICS}
            for embedder in EMBEDDERS
        },
        "faces_found": sum(count.found for count in counts),
        "faces_expected": sum(count.expected for count in counts),
        "faces_extra": sum(count.extra for count in counts),
        "faces_shared": sum(count.shared for count in counts),
    }


def _gap_closed(tuned: float, base: float, same: float | None) -> float | None:
    if same is None or 100 * same <= base:
        return None
    return (tuned - base) / (100 * same - base)


def _rows_by_people(items: Sequence[Item]) -> dict[int, list[int]]:
    people = sorted({len(item.identities) for item in items})
    return {n: [row for row, i in enumerate(items) if len(i.identities) == n] for n in people}
