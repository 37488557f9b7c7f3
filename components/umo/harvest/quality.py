"""What can be measured of a face in a picture, and which faces are good enough.

Pose comes from the five landmarks. With the line from between the eyes to between the corners of
the mouth as axis and its length `h` as unit, the tip of the nose stands `a` beside the axis and `b`
along it: `yaw = asin(a / 0.55)`, `pitch = asin((b - 0.55) / 0.4)`. The constants are those of the
package's rendered heads at known angles, where MTCNN's landmarks give up to 35 degrees with an
error of about 5. Sharpness is the variance of the Laplacian of the aligned face over the variance
of its brightness, so that neither light nor contrast counts (Pertuz et al. 2013 compare such).
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]

NOSE_DEPTH, NOSE_PLACE, NOSE_DROP = 0.55, 0.55, 0.4
FULL_SIDE = 112
"""A larger face is not better, pixels: the side of an embedder's crop."""
FULL_SHARPNESS = 0.1
"""A sharper face is not better."""
CENTRE = slice(16, 96)
"""Rows and columns of a crop of 112 pixels that show face, not hair and background."""


class Measures(NamedTuple):
    """Measures of `n` faces, each `[n]`."""

    score: Values
    """The detector's, 0 to 1."""
    side: Values
    """Shorter side of the box, pixels of the picture as it was read."""
    cover: Values
    """Share of the box that lies outside the picture or in the box of a nearer (larger) face."""
    yaw: Values
    """Turn to the side, degrees; positive to the right of the picture."""
    pitch: Values
    """Nod, degrees; positive is down."""
    roll: Values
    """Tilt, degrees."""
    mouth: Values
    """Width of the mouth in units of `h`, which a smile and speech change."""
    sharpness: Values
    """Variance of the Laplacian over that of the brightness."""
    brightness: Values
    """Mean of the aligned face, 0 to 1."""
    contrast: Values
    """Standard deviation of its brightness, 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class QualityConfig:
    """Which faces are good enough for a target and for a reference."""

    score: float = 0.9
    """Least score of the detector."""
    side: float = 48.0
    """Least side of the box, pixels; below it the embedders no longer know who it is."""
    cover: float = 0.3
    """Largest share that is covered or outside the picture."""
    yaw: float = 35.0
    """Largest turn to either side, degrees."""
    pitch: float = 40.0
    """Largest nod up or down, degrees."""
    roll: float = 40.0
    """Largest tilt, degrees."""
    sharpness: float = 0.01
    """Least sharpness."""
    dark: float = 0.1
    """Least brightness, 0 to 1."""
    bright: float = 0.92
    """Largest brightness, 0 to 1."""
    contrast: float = 0.05
    """Least contrast, 0 to 1."""

    def __post_init__(self) -> None:
        if not 0 <= self.dark < self.bright <= 1:
            raise ValueError(f"dark {self.dark} and bright {self.bright}: 0 <= dark < bright <= 1")
        if min(self.yaw, self.pitch, self.roll) <= 0:
            raise ValueError("yaw, pitch and roll are largest angles, they must be above 0")


class Rule(NamedTuple):
    """A threshold of `QualityConfig`."""

    measure: str
    """Field of `Measures`."""
    setting: str
    """Field of the config."""
    least: bool
    """Whether the setting is the least or the largest allowed value."""
    reason: str
    """What is said of a face that breaks it."""
    ends: tuple[float, float]
    """Of the histogram; what lies beyond counts in its end."""


RULES = (
    Rule("score", "score", True, "uncertain face", (0.5, 1.0)),
    Rule("side", "side", True, "small face", (0.0, 240.0)),
    Rule("cover", "cover", False, "covered or cut off", (0.0, 1.0)),
    Rule("yaw", "yaw", False, "turned away", (0.0, 90.0)),
    Rule("pitch", "pitch", False, "looks up or down", (0.0, 90.0)),
    Rule("roll", "roll", False, "tilted", (0.0, 90.0)),
    Rule("brightness", "dark", True, "dark", (0.0, 1.0)),
    Rule("brightness", "bright", False, "overexposed", (0.0, 1.0)),
    Rule("contrast", "contrast", True, "flat", (0.0, 0.4)),
    Rule("sharpness", "sharpness", True, "blurred", (0.0, 0.5)),
)
"""In the order in which a face is judged; its reason is the first one that it breaks."""


def measure(
    shape: tuple[int, int], boxes: Values, landmarks: Values, scores: Values, crops: Values
) -> Measures:
    """Measure the faces of one picture.

    Args:
        shape: Height and width of the picture.
        boxes: `[n,4]` xyxy pixels.
        landmarks: `[n,5,2]` xy pixels.
        scores: `[n]`.
        crops: Brightness of the aligned faces `[n,112,112]`, 0 to 1.
    """
    yaw, pitch, roll, mouth = _pose(landmarks)
    centre = crops[:, CENTRE, CENTRE]
    spread = centre.std(axis=(1, 2))
    edges = [cv2.Laplacian(crop, cv2.CV_32F)[CENTRE, CENTRE].var() for crop in crops]
    return Measures(
        score=scores,
        side=(boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf),
        cover=_cover(shape, boxes),
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        mouth=mouth,
        sharpness=np.array(edges, np.float32) / np.maximum(spread**2, 1e-6),
        brightness=centre.mean(axis=(1, 2)),
        contrast=spread,
    )


def verdicts(measures: Measures, config: QualityConfig) -> list[str]:
    """For each face the reason why it is not good enough, or an empty string."""
    reasons = [""] * len(measures.score)
    for rule in reversed(RULES):
        for face in np.flatnonzero(~passes(rule, measures, config)):
            reasons[face] = rule.reason
    return reasons


def passes(rule: Rule, measures: Measures, config: QualityConfig) -> NDArray[np.bool_]:
    """Which faces `[n]` keep a rule; the sign of an angle does not count."""
    values = np.abs(getattr(measures, rule.measure))
    limit = getattr(config, rule.setting)
    kept: NDArray[np.bool_] = values >= limit if rule.least else values <= limit
    return kept


def grade(measures: Measures) -> Values:
    """One number for each face `[n]`, 0 to 1: score, size, sharpness and how frontal it is.

    The geometric mean of the four, size and sharpness as shares of what an embedder can use.
    """
    parts = (
        measures.score,
        np.minimum(measures.side / FULL_SIDE, 1),
        np.minimum(measures.sharpness / FULL_SHARPNESS, 1),
        np.cos(np.radians(measures.yaw)) * np.cos(np.radians(measures.pitch)),
    )
    product: Values = np.prod(np.clip(np.stack(parts), 0, 1), axis=0) ** (1 / len(parts))
    return product.astype(np.float32)


def _pose(landmarks: Values) -> tuple[Values, Values, Values, Values]:
    left, right, nose, corner, other = np.moveaxis(landmarks.astype(np.float64), 1, 0)
    eyes, mouth = (left + right) / 2, (corner + other) / 2
    axis = mouth - eyes
    length = np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-6)
    down = axis / length
    across = np.stack([down[:, 1], -down[:, 0]], axis=1)
    tip = (nose - eyes) / length
    beside, along = (tip * across).sum(axis=1), (tip * down).sum(axis=1)
    line = right - left
    angles = (
        np.arcsin(np.clip(beside / NOSE_DEPTH, -1, 1)),
        np.arcsin(np.clip((along - NOSE_PLACE) / NOSE_DROP, -1, 1)),
        np.arctan2(line[:, 1], line[:, 0]),
    )
    yaw, pitch, roll = (np.degrees(angle).astype(np.float32) for angle in angles)
    width = np.linalg.norm(other - corner, axis=1) / length[:, 0]
    return yaw, pitch, roll, width.astype(np.float32)


def _cover(shape: tuple[int, int], boxes: Values) -> Values:
    """The boxes `[n]` of larger faces cover a smaller one; of equals the first is in front."""
    height, width = shape
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-6)
    area = sides.prod(axis=1)
    inside = np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
    outside = 1 - (inside[:, 2:] - inside[:, :2]).clip(0).prod(axis=1) / area
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = (high - low).clip(0).prod(axis=2) / area[:, None]
    order = np.argsort(-area, kind="stable")
    rank = np.argsort(order, kind="stable")
    nearer = rank[None, :] < rank[:, None]
    behind = np.where(nearer, shared, 0).max(axis=1, initial=0)
    covered: Values = np.maximum(outside, behind).astype(np.float32)
    return covered
