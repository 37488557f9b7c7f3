"""The look of skin, hair, eyes and clothes: a pixel shader over the neutral head's coordinates.

Everything that is painted on a person (lips, brows, beard, hairline, iris) is a function of where a
point lies on the neutral head, so it follows every shape and expression and is sharp at any size.
"""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from umo.data.people import Person

Array = NDArray[np.float32]

SKIN, LIDS, MOUTH, EYE, CURTAIN, FRAME, GLASS, CLOTH, BAND = range(9)
"""Materials of triangles."""
EYE_X, EYE_Z = 0.0308, 0.8205
"""Centre of the left eye in the neutral head."""


@dataclass(frozen=True, kw_only=True)
class Light:
    """Light of a scene."""

    direction: tuple[float, float, float]
    """Towards the light: x to the right of the picture, y towards the camera, z up; unit."""
    key: float
    """Strength of the directed light."""
    ambient: float
    """Strength of the light from everywhere."""
    tint: tuple[float, float, float]
    """Colour of the light."""


def paint_of(person: Person) -> Array:
    """A person's colours and amounts as the shader reads them: rows of three."""
    return np.array(
        (
            person.skin,
            person.hair,
            person.eyes,
            person.lips,
            person.clothes,
            (person.hair_volume, person.hairline, person.brows),
            (person.brow_height, person.beard, person.moustache),
            (person.freckles, 0, 0),
        ),
        np.float32,
    )


def light_of(light: Light) -> Array:
    """A light as the shader reads it: direction, strengths, tint."""
    x, y, z = light.direction
    return np.array(((x, -y, z), (light.key, light.ambient, 0), light.tint), np.float32)


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _step(value: float, low: float, high: float) -> float:
    """0 below `low`, 1 above `high`, smooth between."""
    ramp = min(max((value - low) / (high - low), 0.0), 1.0)
    return ramp * ramp * (3 - 2 * ramp)


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _line(x: float, xs: tuple[float, ...], ys: tuple[float, ...]) -> float:
    """Piecewise linear interpolation."""
    if x <= xs[0]:
        return ys[0]
    for k in range(1, len(xs)):
        if x <= xs[k]:
            return ys[k - 1] + (ys[k] - ys[k - 1]) * (x - xs[k - 1]) / (xs[k] - xs[k - 1])
    return ys[-1]


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _cover(x: float, y: float, z: float, volume: float, receded: float) -> float:
    """How much of a place is under hair, 0 to 1."""
    if volume == 0.0:
        return 0.0
    line = _line(y, (-0.16, -0.09, -0.055, -0.02, 0.03), (0.893, 0.872, 0.815, 0.785, 0.735))
    corners = 0.25 * abs(x) if receded > 0.02 else 0.0
    line += _step(-y, 0.05, 0.12) * (receded + corners)
    ear = _step(abs(x), 0.0755, 0.078) * _step(-z, -0.87, -0.86)
    return _step(z - line, -0.004, 0.006) * (1 - ear)


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def hair_cover(places: Array, hair: Array) -> Array:
    """How much of each place `[n,3]` of the neutral head is under hair `(volume, hairline)`."""
    cover = np.zeros(places.shape[0], np.float32)
    for n in range(places.shape[0]):
        cover[n] = _cover(places[n, 0], places[n, 1], places[n, 2], hair[0], hair[1])
    return cover


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _blend(colour: Array, tone: Array, amount: float) -> None:
    for k in range(3):
        colour[k] += amount * (tone[k] - colour[k])


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _skin(colour: Array, scratch: Array, paint: Array, place: Array, lips: float) -> None:
    """Skin and everything that grows on it or covers it."""
    x, y, z = abs(place[0]), place[1], place[2]
    skin, hair = paint[0], paint[1]
    front = _step(-y, 0.06, 0.10)
    colour[:] = skin
    cheek = np.exp(-((x - 0.042) ** 2 + (z - 0.785) ** 2) / 0.0004) * front
    scratch[0], scratch[1], scratch[2] = min(skin[0] * 1.05, 1.0), skin[1] * 0.8, skin[2] * 0.8
    _blend(colour, scratch, 0.5 * cheek)
    if paint[7, 0] > 0 and np.sin(place[0] * 900) * np.sin(z * 1100 + place[0] * 300) > 0.3:
        scratch[0], scratch[1], scratch[2] = skin[0] * 0.7, skin[1] * 0.55, skin[2] * 0.5
        _blend(colour, scratch, 0.5 * paint[7, 0] * cheek)
    _blend(colour, paint[3], lips)
    bare = front * (1 - lips)
    jaw = _line(x, (0.0, 0.03, 0.055, 0.075), (0.735, 0.742, 0.775, 0.80))
    chin = _step(jaw - z, -0.006, 0.006) * _step(z, 0.66, 0.69)
    _blend(colour, hair, paint[6, 1] * chin * bare)
    upper = _step(z, 0.7605, 0.764) * _step(-z, -0.778, -0.773) * _step(-x, -0.032, -0.026)
    _blend(colour, hair, paint[6, 2] * upper * bare)
    arch = 0.8435 + paint[6, 0] + 0.004 * np.sin((x - 0.012) / 0.042 * 2.6)
    thick = (0.0013 + 0.0021 * paint[5, 2]) * min(max(_step(-x, -0.058, -0.030), 0.35), 1.0)
    brow = 1 - min(max((abs(z - arch) - thick) / thick, 0.0), 1.0)
    _blend(colour, hair, 0.9 * brow * _step(x, 0.008, 0.014) * _step(-x, -0.056, -0.048) * front)
    cover = _cover(place[0], y, z, paint[5, 0], paint[5, 1])
    _blend(colour, hair, cover)
    strands = 1 + 0.10 * np.sin(place[0] * 520 + 40 * z) * cover
    for k in range(3):
        colour[k] *= strands
    collar = -z - 0.15 * min(max(-y - 0.05, 0.0), 1.0)
    _blend(colour, paint[4], _step(collar, -0.682, -0.676))


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _eye(colour: Array, iris: Array, place: Array) -> None:
    distance = np.sqrt((abs(place[0]) - EYE_X) ** 2 + (place[2] - EYE_Z) ** 2)
    colour[:] = 0.88
    _blend(colour, iris, _step(-distance, -0.0085, -0.0072))
    pupil = 1 - 0.95 * _step(-distance, -0.0042, -0.0030)
    for k in range(3):
        colour[k] *= pupil


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def shade(
    index: NDArray[np.int32],
    weights: Array,
    faces: NDArray[np.int32],
    attributes: Array,
    material: NDArray[np.int32],
    paint: Array,
    light: Array,
) -> Array:
    """Colour the pixels of a rasterised person.

    Args:
        index: Triangle of each pixel `[H,W]`, -1 where there is none.
        weights: Barycentric weights `[H,W,3]`.
        faces: Triangles `[F,3]`.
        attributes: Of each vertex `[V,7]`: place on the neutral head, normal, how much it is lip.
        material: Material of each triangle `[F]`.
        paint: `paint_of` a person.
        light: `light_of` a light.

    Returns:
        RGB and cover `[H,W,4]`, 0 to 1.
    """
    height, width = index.shape
    picture = np.zeros((height, width, 4), np.float32)
    pixel = np.zeros(7, np.float32)
    colour = np.zeros(3, np.float32)
    scratch = np.zeros(3, np.float32)
    towards = light[0]
    hx, hy, hz = towards[0], towards[1] - 1, towards[2]
    half = np.sqrt(hx * hx + hy * hy + hz * hz)
    for row in range(height):
        for column in range(width):
            f = index[row, column]
            if f < 0:
                continue
            for k in range(7):
                pixel[k] = (
                    attributes[faces[f, 0], k] * weights[row, column, 0]
                    + attributes[faces[f, 1], k] * weights[row, column, 1]
                    + attributes[faces[f, 2], k] * weights[row, column, 2]
                )
            kind = material[f]
            if kind == EYE:
                _eye(colour, paint[2], pixel)
            elif kind == LIDS:
                for k in range(3):
                    colour[k] = 0.55 * paint[0, k]
            elif kind == MOUTH:
                colour[0], colour[1], colour[2] = 0.25, 0.08, 0.08
            elif kind >= FRAME:
                for k in range(3):
                    colour[k] = paint[8 + kind - FRAME, k]
            elif kind == CURTAIN:
                for k in range(3):
                    colour[k] = 0.85 * paint[1, k]
            else:
                _skin(colour, scratch, paint, pixel, pixel[6])
            nx, ny, nz = pixel[3], pixel[4], pixel[5]
            length = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
            if ny > 0:
                length = -length
            nx, ny, nz = nx / length, ny / length, nz / length
            facing = nx * towards[0] + ny * towards[1] + nz * towards[2]
            diffuse = max((facing + 0.2) / 1.2, 0.0)
            shine = max((nx * hx + ny * hy + nz * hz) / half, 0.0) ** 24
            lit = light[1, 1] * (0.8 + 0.2 * nz) + light[1, 0] * diffuse
            for k in range(3):
                value = colour[k] * lit * light[2, k] + 0.10 * light[1, 0] * shine
                picture[row, column, k] = min(max(value, 0.0), 1.0)
            picture[row, column, 3] = 1
    return picture
