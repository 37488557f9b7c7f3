"""Rendered people: who they are (`Person`) and how they look at one moment (`View`)."""

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.random import Generator

from umo.data.head import load_head

Colour = tuple[float, float, float]

SKINS: tuple[Colour, ...] = (
    (0.97, 0.82, 0.74),
    (0.90, 0.70, 0.58),
    (0.76, 0.55, 0.42),
    (0.55, 0.37, 0.27),
    (0.36, 0.23, 0.17),
)
"""Skin from light to dark, RGB 0 to 1."""
HAIRS: tuple[Colour, ...] = (
    (0.07, 0.06, 0.06),
    (0.20, 0.12, 0.08),
    (0.37, 0.22, 0.12),
    (0.55, 0.24, 0.10),
    (0.80, 0.63, 0.36),
    (0.72, 0.72, 0.72),
)
"""Black, dark brown, brown, red, blond, grey."""
EYES: tuple[Colour, ...] = (
    (0.20, 0.11, 0.05),
    (0.42, 0.26, 0.12),
    (0.30, 0.42, 0.24),
    (0.30, 0.47, 0.66),
    (0.45, 0.50, 0.54),
)
"""Dark brown, light brown, green, blue, grey."""
FEATURE_SPREAD = 0.4
"""Standard deviation of a local feature, which runs from -1 to 1."""
CALM_FEATURES = (
    "ear-rot-forward",
    "ear-scale-incr",
    "ear-wing-incr",
    "head-angle-out",
    "head-scale-horiz-incr",
    "head-scale-vert-incr",
    "head-trans-out",
    "mouth-trans-out",
    "neck-trans-out",
    "nose-trans-out",
)
"""Features that look like a cartoon at their ends."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """An identity: everything that stays the same from picture to picture."""

    shape: dict[str, float]
    """Parameters of the head."""
    skin: Colour
    hair: Colour
    eyes: Colour
    lips: Colour
    clothes: Colour
    hairline: float
    """How far the hair has receded from the forehead, body units."""
    hair_volume: float
    """How far the hair stands off the head, body units; 0 is bald."""
    hair_length: float
    """How far the hair falls below the ears, body units; 0 is short."""
    brows: float
    """Thickness of the eyebrows, 0 to 1."""
    brow_height: float
    """How far the eyebrows sit above the usual place, body units."""
    beard: float
    """Density of the beard, 0 to 1."""
    moustache: float
    """Density of the moustache, 0 to 1."""
    freckles: float
    """Darkness of freckles, 0 to 1."""

    def blend(self, other: "Person", amount: float) -> "Person":
        """A person `amount` (0 to 1) of the way to `other`."""

        def mix(a: float, b: float) -> float:
            return (1 - amount) * a + amount * b

        names = sorted(self.shape.keys() | other.shape.keys())
        values: dict[str, object] = {
            "shape": {n: mix(self.shape.get(n, 0.0), other.shape.get(n, 0.0)) for n in names}
        }
        for field in fields(self):
            a, b = getattr(self, field.name), getattr(other, field.name)
            if isinstance(a, tuple):
                values[field.name] = tuple(mix(x, y) for x, y in zip(a, b, strict=True))
            elif isinstance(a, float):
                values[field.name] = mix(a, b)
        return replace(self, **values)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class View:
    """One moment of a person."""

    yaw: float
    """Turn to the person's left, radians."""
    pitch: float
    """Nod downwards, radians."""
    roll: float
    """Tilt, radians."""
    expression: dict[str, float]
    """Parameters of the head, `expression:...`, 0 to 1."""


def draw_person(rng: Generator) -> Person:
    """Draw an identity."""
    man = bool(rng.random() < 0.5)
    old = float(max(rng.normal(0.15, 0.35), 0.0))
    ancestry = rng.dirichlet((0.4, 0.4, 0.4))
    darkness = float(np.clip(ancestry @ (3.4, 1.0, 0.4) + rng.normal(0, 0.35), 0, 4))
    features = load_head().features()
    local = np.clip(rng.normal(0, FEATURE_SPREAD, len(features)), -1, 1)
    shape = {name: float(value) for name, value in zip(features, local, strict=True)}
    for name in CALM_FEATURES:
        shape[name] *= 0.4
    for name in ("african", "asian", "caucasian"):
        shape[name] = float(ancestry[("african", "asian", "caucasian").index(name)])
    shape["gender=1" if man else "gender=0"] = float(rng.uniform(0.5, 1.1))
    shape["age=1"] = min(old, 1.0)
    heavy = float(rng.normal(0, 0.6))
    shape["weight=1" if heavy > 0 else "weight=0"] = min(abs(heavy), 1.0)
    grey = min(max(old - 0.3, 0.0) * 1.6, 1.0)
    light = float(rng.random()) < float(ancestry[2])
    colour = HAIRS[int(rng.integers(1, 5))] if light else HAIRS[int(rng.integers(0, 2))]
    skin = _between(SKINS, darkness)
    bearded = man and rng.random() < 0.45
    bald = man and rng.random() < 0.12
    return Person(
        shape=shape,
        skin=_jitter(skin, rng, 0.03),
        hair=_jitter(_mix(colour, HAIRS[5], grey), rng, 0.04),
        eyes=_jitter(EYES[int(rng.integers(0, 5))] if light else EYES[0], rng, 0.03),
        lips=_mix(skin, (0.72, 0.30, 0.30), float(rng.uniform(0.15, 0.45 if man else 0.75))),
        clothes=tuple(float(c) for c in rng.uniform(0.08, 0.9, 3)),  # type: ignore[arg-type]
        hairline=float(rng.uniform(0.0, 0.035 if man else 0.015)),
        hair_volume=0.0 if bald else float(rng.uniform(0.004, 0.022)),
        hair_length=0.0 if man and rng.random() < 0.85 else float(rng.uniform(0.04, 0.2)),
        brows=float(rng.uniform(0.35, 1.0) if man else rng.uniform(0.2, 0.7)),
        brow_height=float(rng.normal(0, 0.0018)),
        beard=float(rng.uniform(0.3, 1.0)) if bearded else 0.0,
        moustache=float(rng.uniform(0.3, 1.0)) if bearded and rng.random() < 0.8 else 0.0,
        freckles=float(max(rng.normal(-0.3, 0.5), 0.0)),
    )


def draw_view(rng: Generator, *, pose: float) -> View:
    """Draw a moment; `pose` is the standard deviation of the yaw in radians."""
    return View(
        yaw=float(np.clip(rng.normal(0, pose), -2.2 * pose, 2.2 * pose)),
        pitch=float(np.clip(rng.normal(0, pose / 3), -pose, pose)),
        roll=float(np.clip(rng.normal(0, pose / 4), -pose, pose)),
        expression={
            "expression:smile": float(rng.uniform(0, 0.9)),
            "expression:jaw-open": float(max(rng.normal(-0.1, 0.15), 0.0)),
            "expression:brows-up": float(max(rng.normal(-0.1, 0.3), 0.0)),
            "expression:brows-down": float(max(rng.normal(-0.2, 0.3), 0.0)),
            "expression:squint": float(max(rng.normal(-0.1, 0.3), 0.0)),
        },
    )


def _mix(a: Colour, b: Colour, amount: float) -> Colour:
    red, green, blue = ((1 - amount) * x + amount * y for x, y in zip(a, b, strict=True))
    return red, green, blue


def _between(palette: tuple[Colour, ...], position: float) -> Colour:
    low = min(int(position), len(palette) - 2)
    return _mix(palette[low], palette[low + 1], position - low)


def _jitter(colour: Colour, rng: Generator, spread: float) -> Colour:
    brightness = 1 + rng.normal(0, 2 * spread)
    tones = (c * brightness + rng.normal(0, spread / 2) for c in colour)
    red, green, blue = (float(np.clip(tone, 0.02, 1)) for tone in tones)
    return red, green, blue
