"""Places that rendered people stand in."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[np.float32]
Painter = Callable[[Array, Array, Generator], Array]


def _ramp(amount: Array, low: tuple[float, ...], high: tuple[float, ...]) -> Array:
    mixed: Array = np.array(low) + amount[..., None] * (np.array(high) - np.array(low))
    return mixed


def _wall(x: Array, y: Array, rng: Generator) -> Array:
    tone = rng.uniform(0.35, 0.9, 3)
    return _ramp(0.75 + 0.25 * (1 - y) + 0.05 * x, (0, 0, 0), tuple(tone))


def _stripes(x: Array, y: Array, rng: Generator) -> Array:
    a, b = rng.uniform(0.3, 0.9, (2, 3))
    wave = np.sin(2 * np.pi * x * rng.uniform(2.5, 4.5) + rng.uniform(0, 6)) > 0
    return _ramp(wave.astype(np.float32), tuple(a), tuple(b))


def _park(x: Array, y: Array, rng: Generator) -> Array:
    sky = _ramp(y, (0.45, 0.68, 0.92), (0.80, 0.90, 0.97))
    phase = rng.uniform(0, 6, 2)
    trees = 0.38 + 0.08 * np.sin(5 * x + phase[0]) + 0.05 * np.sin(11 * x + phase[1])
    scene = np.where((y > trees)[..., None], (0.16, 0.38, 0.17), sky)
    grass = np.array((0.36, 0.60, 0.25)) * rng.uniform(0.85, 1.1)
    return np.where((y > 0.72)[..., None], grass, scene)


def _beach(x: Array, y: Array, rng: Generator) -> Array:
    horizon = rng.uniform(0.35, 0.5)
    sky = _ramp(y / horizon, (0.40, 0.66, 0.93), (0.87, 0.93, 0.97))
    sea = np.where((y > horizon)[..., None], (0.15, 0.48, 0.65), sky)
    shore = horizon + 0.22 + 0.02 * np.sin(7 * x + rng.uniform(0, 6))
    return np.where((y > shore)[..., None], (0.88, 0.79, 0.60), sea)


def _sunset(x: Array, y: Array, rng: Generator) -> Array:
    sky = _ramp(np.clip(1.3 * y, 0, 1), (0.30, 0.20, 0.42), (0.98, 0.58, 0.28))
    hills = 0.7 + 0.07 * np.sin(4 * x + rng.uniform(0, 6))
    return np.where((y > hills)[..., None], (0.16, 0.10, 0.16), sky)


def _night(x: Array, y: Array, rng: Generator) -> Array:
    scene = _ramp(y, (0.04, 0.05, 0.12), (0.12, 0.10, 0.20))
    width = float(x.max())
    for _ in range(int(6 * width) + 4):
        cx, cy, radius = rng.uniform(0, width), rng.uniform(0, 1), rng.uniform(0.03, 0.08)
        disc = np.clip(1.5 - np.hypot(x - cx, y - cy) / radius, 0, 1)[..., None]
        scene = scene + 0.6 * disc * (rng.uniform(0.4, 1.0, 3) - scene)
    return scene


def _library(x: Array, y: Array, rng: Generator) -> Array:
    shelf = np.floor(y * 3)
    book = np.floor(x * 9 + 0.35 * shelf)
    tones = rng.uniform(0.2, 0.65, (64, 3)) * (1.0, 0.8, 0.65)
    scene = tones[(book * 7 + shelf * 23).astype(int) % 64]
    edge = (y * 3) % 1 > 0.88
    return np.where(edge[..., None], (0.30, 0.19, 0.11), scene)


def _window(x: Array, y: Array, rng: Generator) -> Array:
    tone = rng.uniform(0.55, 0.85, 3)
    wall = _ramp(1 - 0.2 * y, (0, 0, 0), tuple(tone))
    pane = (abs((x + rng.uniform(0, 1)) % 1.0 - 0.5) < 0.3) & (y < 0.62)
    bar = abs((x + 0.0) % 0.5 - 0.25) < 0.012
    glass = np.where(bar[..., None], (0.95, 0.95, 0.93), (0.72, 0.86, 0.96))
    return np.where(pane[..., None], glass, wall)


PLACES: dict[str, Painter] = {
    "against a plain wall": _wall,
    "in front of striped wallpaper": _stripes,
    "in a park": _park,
    "on a beach": _beach,
    "at sunset": _sunset,
    "in a city at night": _night,
    "in a library": _library,
    "by a window": _window,
}
"""Painters of places by the words of the prompt."""


def paint_place(place: str, height: int, width: int, rng: Generator) -> Array:
    """RGB `[height,width,3]` of a place, 0 to 1."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / height
    return np.clip(PLACES[place](x, y, rng), 0, 1).astype(np.float32)
