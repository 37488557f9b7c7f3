"""Identity metrics and mistakes, from cosines `e[M,N]` of M references and N generated faces.

Every metric gives one value per reference of a picture, `extra` one per picture; `mean` pools all
of them over all pictures ("plain mean over everything" in the public XVerseBench scripts) and
multiplies by 100. Every reference is another person.

    ID-Sim            max_k e[j,k]; 0 without a face
    ID-Conf, paper    clip(1 - e2/e1, 0, 1), e1 and e2 the best and second best face of reference j
    ID-Conf, scripts  min(1, (e1 - e2)/e1) if e1 > 0 else 0; pictures with one face or none are
                      skipped, so a missing person does not count against a model
    missing           1 if the assignment s* leaves reference j without a face, else 0; sums to
                      max(M - N, 0)
    extra             max(N - M, 0) of the picture
    mixed             1 if argmax_k e[j,k] = argmax_k e[i,k] for another reference i, else 0
    placed            1 if the face s*(j) stands where j was asked for, else 0: the rank from the
                      left of s*(j) among the assigned faces is the place of j
    copy-paste        max(0, max_k e[j,k] - same[j]), same[j] the cosine of two real photos of j

`s* = argmax_s sum_j e[j,s(j)]` is the optimal one-to-one assignment (Hungarian method). Of equal
cosines the first face is the best. `placed` is 0 for everybody in a picture with fewer faces than
references: who stands where is then unknown, and a lost face must not hide a swap.

What cannot be measured gives no value (`[0]`), or NaN for one reference, and never 0: `extra` where
nobody was asked for; `mixed` of one person or without a face; `placed` of one person; copy-paste
without a face or without two real photos.

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
from scipy.optimize import linear_sum_assignment

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


def assigned(similarity: Values) -> NDArray[np.intp]:
    """The face `[M]` that the optimal one-to-one assignment gives each reference, -1 for none."""
    people, faces = linear_sum_assignment(similarity, maximize=True)
    face_of = np.full(len(similarity), -1)
    face_of[people] = faces
    return face_of


def missing(similarity: Values) -> Values:
    """1 for each reference `[M]` that no face is left for, else 0."""
    lost: Values = (assigned(similarity) < 0).astype(float)
    return lost


def extra(similarity: Values) -> Values:
    """Faces beyond the references of the picture: `[1]`, or `[0]`."""
    people, faces = similarity.shape
    if people == 0:
        return np.zeros(0)
    return np.array([float(max(faces - people, 0))])


def mixed(similarity: Values) -> Values:
    """1 for each reference whose best face is another's best face too: `[M]`, or `[0]`."""
    people, faces = similarity.shape
    if people < 2 or faces == 0:
        return np.zeros(0)
    best = similarity.argmax(axis=1)
    shared: Values = (np.bincount(best)[best] > 1).astype(float)
    return shared


def placed(similarity: Values, centres: Values, arrangement: Sequence[int]) -> Values:
    """1 for each reference whose face stands where it was asked for: `[M]`, or `[0]`.

    Args:
        similarity: Cosines `[M,N]`.
        centres: Where the faces are, `[N]`, growing from left to right.
        arrangement: Place of each reference from the left, from 0.
    """
    people, faces = similarity.shape
    if people < 2:
        return np.zeros(0)
    if faces < people:
        return np.zeros(people)
    rank = np.argsort(np.argsort(centres[assigned(similarity)], kind="stable"))
    right: Values = (rank == np.asarray(arrangement)).astype(float)
    return right


def copy_paste(similarity: Values, same: Values) -> Values:
    """How much nearer each reference `[M]` is than a real photo would be: a cosine, or NaN.

    Args:
        similarity: Cosines `[M,N]`.
        same: Cosine of two real photos of each person `[M]`, NaN where there are none.
    """
    people, faces = similarity.shape
    if faces == 0:
        return np.full(people, np.nan)
    excess: Values = np.maximum(similarity.max(axis=1) - same, 0)
    return excess


METRICS: Mapping[str, Callable[[Values], Values]] = MappingProxyType(
    {"id_sim": id_sim, "id_conf": id_conf, "id_conf_scripts": id_conf_scripts}
)
"""The metrics of cosines alone that the summary of a run has, by name."""


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
