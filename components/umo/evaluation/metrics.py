"""ID-Sim, ID-Conf and faces found, from cosines `[M,N]` of M references and N generated faces.

Every metric gives one value per reference of a picture; `mean` pools all references of all pictures
("plain mean over everything" in the public XVerseBench scripts) and multiplies by 100.

    ID-Sim            max_k e[j,k]; 0 without a face
    ID-Conf, paper    clip(1 - e2/e1, 0, 1), e1 and e2 the best and second best face of reference j
    ID-Conf, scripts  min(1, (e1 - e2)/e1) if e1 > 0 else 0; pictures with one face or none are
                      skipped, so a missing person does not count against a model

The paper leaves the edge cases of its ID-Conf open. Here they are settled so that losing a person's
face never raises it: a picture with fewer faces than references scores 0 for all of them (the lost
face may have been the confusing one, so any other value could be a reward for losing it);
`e1 <= 0` scores 0, nobody being recognised; one person with one face has nobody to be confused
with, `e2 = 0`.

The public scripts detect each face again in a crop grown by 1.3; the cosines here come from the
first detection, by the judge of the face pack.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
_CHUNK = 1_000


def id_sim(similarity: Values) -> Values:
    """ID-Sim of each reference `[M]`, as a cosine."""
    people, faces = similarity.shape
    return similarity.max(axis=1) if faces else np.zeros(people)


def id_conf(similarity: Values) -> Values:
    """ID-Conf of each reference `[M]`, paper's definition, 0 to 1."""
    people, faces = similarity.shape
    if faces < people or faces == 0:
        return np.zeros(people)
    best, second = _best_two(similarity)
    ratio = np.divide(second, best, out=np.ones(people), where=best > 0)
    confidence: Values = np.clip(1 - ratio, 0, 1)
    return confidence


def id_conf_scripts(similarity: Values) -> Values:
    """ID-Conf of each reference, public scripts' definition: `[M]`, or `[0]` where skipped."""
    people, faces = similarity.shape
    if faces < 2:
        return np.zeros(0)
    best, second = _best_two(similarity)
    margin = np.divide(best - second, best, out=np.zeros(people), where=best > 0)
    return np.minimum(margin, 1)


METRICS: Mapping[str, Callable[[Values], Values]] = MappingProxyType(
    {"id_sim": id_sim, "id_conf": id_conf, "id_conf_scripts": id_conf_scripts}
)
"""Every identity metric, by its name in summaries."""


@dataclass(frozen=True, kw_only=True)
class FaceCount:
    """How many faces a picture shows, against how many people were asked for."""

    expected: int
    """References."""
    found: int
    """Faces, at most `expected`."""
    missing: int
    """Faces fewer than references."""
    extra: int
    """Faces beyond the references."""
    shared: int
    """References whose best face is the best face of an earlier reference too: mixed-up people."""


def count_faces(similarity: Values) -> FaceCount:
    """Count the faces of one picture from its cosines `[M,N]`."""
    people, faces = similarity.shape
    distinct = len(np.unique(similarity.argmax(axis=1))) if faces and people else people
    return FaceCount(
        expected=people,
        found=min(faces, people),
        missing=max(people - faces, 0),
        extra=max(faces - people, 0),
        shared=people - distinct,
    )


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean with its percentile bootstrap interval."""

    mean: float
    low: float
    high: float


def mean(values: Sequence[Values]) -> float:
    """100 x the mean over all references of all items; 0 where every picture was skipped.

    Args:
        values: The values of each item's references, ragged.
    """
    pooled = np.concatenate([np.zeros(0), *values])
    return 100 * float(pooled.mean()) if pooled.size else 0.0


def bootstrap(
    values: Sequence[Values],
    minus: Sequence[Values] | None = None,
    *,
    rng: np.random.Generator,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Interval:
    """Percentile bootstrap interval of `mean(values)`, or of `mean(values) - mean(minus)`, paired.

    Items are drawn with replacement, the same ones on both sides, with all their references.

    Args:
        values: The values of each item's references, ragged, one entry per item.
        minus: The same items under the model to compare with.
        rng: Source of the resamples.
        resamples: How many.
        level: Coverage of the interval, two-sided.

    Raises:
        ValueError: The two sides differ in length, or there is no item.
    """
    if minus is not None and len(minus) != len(values):
        raise ValueError(f"{len(values)} items cannot be paired with {len(minus)}")
    if not values:
        raise ValueError("no items to resample")
    sides = [values] if minus is None else [values, minus]
    totals = np.array([[v.sum() for v in side] for side in sides])
    counts = np.array([[v.size for v in side] for side in sides])
    means = np.concatenate(
        [
            _resampled(totals, counts, rng, min(_CHUNK, resamples - start))
            for start in range(0, resamples, _CHUNK)
        ]
    )
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    observed = mean(values) - (0.0 if minus is None else mean(minus))
    return Interval(mean=observed, low=float(low), high=float(high))


def _resampled(totals: Values, counts: Values, rng: np.random.Generator, resamples: int) -> Values:
    items = totals.shape[1]
    rows = rng.integers(items, size=(resamples, items))
    total = totals[:, rows].sum(axis=2)
    count = counts[:, rows].sum(axis=2)
    means: Values = 100 * np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    if len(means) == 2:
        means[0] -= means[1]
    first: Values = means[0]
    return first


def _best_two(similarity: Values) -> tuple[Values, Values]:
    """Best and second best cosine of each reference; one lone face has 0 beside it."""
    if similarity.shape[1] == 1:
        return similarity[:, 0], np.zeros(len(similarity))
    ordered = np.sort(similarity, axis=1)
    return ordered[:, -1], ordered[:, -2]
