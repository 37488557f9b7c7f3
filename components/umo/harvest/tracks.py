"""Tracks: one face followed through the sampled frames of a shot."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from umo.harvest.quality import Values


@dataclass(frozen=True, kw_only=True)
class TrackConfig:
    """When two faces of neighbouring frames are one person."""

    same: float = 0.5
    """Least cosine of the reward embedder where the faces are apart in the picture."""
    near: float = 0.3
    """Least cosine where their boxes overlap."""
    overlap: float = 0.3
    """Intersection over union from which boxes overlap."""
    patience: int = 3
    """Sampled frames that a face may be missing."""

    def __post_init__(self) -> None:
        if not -1 <= self.near <= self.same <= 1:
            raise ValueError(f"near {self.near} and same {self.same}: -1 <= near <= same <= 1")


def link(
    frames: NDArray[np.int64], boxes: Values, embeddings: Values, config: TrackConfig
) -> NDArray[np.int64]:
    """Follow the faces of one shot.

    In each frame the open tracks and the faces are assigned to one another so that the sum of
    cosines is largest (Kuhn 1955); a pair that is not near enough is not linked.

    Args:
        frames: Of each face `[n]`, ascending: number of the sampled frame.
        boxes: `[n,4]` xyxy.
        embeddings: `[n,D]`, unit length.
        config: When to link.

    Returns:
        The track of each face `[n]`, numbered by its first face.
    """
    tracks = np.full(len(frames), -1)
    last: list[int] = []
    for frame in np.unique(frames):
        faces = np.flatnonzero(frames == frame)
        alive = [t for t, face in enumerate(last) if frame - frames[face] <= config.patience]
        ends = np.array([last[t] for t in alive], np.int64)
        cosine = embeddings[ends] @ embeddings[faces].T
        least = np.where(
            overlap(boxes[ends], boxes[faces]) >= config.overlap, config.near, config.same
        )
        allowed = cosine >= least
        for row, column in zip(*linear_sum_assignment(np.where(allowed, -cosine, 1)), strict=True):
            if allowed[row, column]:
                tracks[faces[column]] = alive[row]
        for face in faces:
            if tracks[face] < 0:
                tracks[face] = len(last)
                last.append(int(face))
            last[tracks[face]] = int(face)
    return tracks


def overlap(one: Values, other: Values) -> Values:
    """Intersection over union `[n,m]` of boxes `[n,4]` and `[m,4]`, xyxy."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = (high - low).clip(0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (one, other)]
    union: Values = areas[0][:, None] + areas[1][None] - shared
    ratio: Values = shared / np.maximum(union, 1e-9)
    return ratio
