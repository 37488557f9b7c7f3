"""What people wear at one moment, glasses and hats, as meshes that fit any head.

Glasses stand in front of the face they are measured on; a hat is a surface of rings around the
scalp, hair and all. Both are in the head's body units: x to the left, y backwards, z up.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from umo.data.people import Colour
from umo.data.shader import BAND, CLOTH, FRAME, GLASS

Array = NDArray[np.floating]
Faces = NDArray[np.int32]

DARK = 0.2
"""Share of glasses that are sunglasses."""
FRAMES: tuple[Colour, ...] = (
    (0.05, 0.05, 0.06),
    (0.25, 0.14, 0.08),
    (0.55, 0.08, 0.10),
    (0.10, 0.18, 0.40),
    (0.62, 0.60, 0.55),
)
"""Black, tortoise, red, blue, metal."""
RIM = 0.0021
"""Half the thickness of a frame, body units."""
AXIS = -0.045
"""Where the middle of the scalp is, y."""
BROW = 0.873
"""Height of a hat's edge on the neutral head."""
AROUND = 48
"""Points of a ring."""

Style = Literal["beanie", "cap", "brim"]


@dataclass(frozen=True, kw_only=True)
class Glasses:
    """A pair of glasses."""

    colour: Colour
    round: float
    """Shape of a rim: 2 is an ellipse, more is squarer."""
    height: float
    """Of a rim, as a share of its width."""
    dark: bool
    """Whether the eyes cannot be seen through it."""


@dataclass(frozen=True, kw_only=True)
class Hat:
    """A hat."""

    style: Style
    colour: Colour
    band: Colour
    """Of the turn-up of a beanie, the visor of a cap, the ribbon of a brimmed hat."""


@dataclass(frozen=True, kw_only=True)
class Worn:
    """What a person wears in one picture."""

    glasses: Glasses | None = None
    hat: Hat | None = None


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """Triangles with their materials."""

    vertices: Array
    """`[V,3]`, body units."""
    faces: Faces
    """Triangles `[F,3]`."""
    material: NDArray[np.int32]
    """Of each triangle `[F]`, see `umo.data.shader`."""


def draw_worn(rng: Generator, probability: float) -> Worn:
    """Draw what somebody wears: glasses, and a hat, each with a probability."""
    glasses = Glasses(
        colour=FRAMES[int(rng.integers(len(FRAMES)))],
        round=float(rng.uniform(2.0, 4.5)),
        height=float(rng.uniform(0.66, 0.92)),
        dark=bool(rng.random() < DARK),
    )
    colour, other = _muted(rng), _muted(rng)
    band = colour * 0.55 if rng.random() < 0.5 else other
    styles: tuple[Style, ...] = ("beanie", "cap", "brim")
    hat = Hat(
        style=styles[int(rng.integers(len(styles)))],
        colour=_colour(colour),
        band=_colour(band),
    )
    with_glasses, with_hat = rng.random(2) < probability
    return Worn(glasses=glasses if with_glasses else None, hat=hat if with_hat else None)


def glasses_mesh(glasses: Glasses, face: Array, left: Array, right: Array) -> Mesh:
    """Glasses in front of a face.

    Args:
        glasses: Which.
        face: The head's vertices `[V,3]`, at rest.
        left: Middle of the left eye `[3]`.
        right: Middle of the right eye `[3]`.
    """
    apart = float(left[0] - right[0])
    width = 0.355 * apart
    height = glasses.height * width
    middle = (left + right) / 2
    bulge = 2.2

    def front(x: ArrayLike) -> Array:
        away: Array = np.asarray(x) - middle[0]
        return bulge * away**2

    near = face[(face[:, 1] < -0.1) & (abs(face[:, 2] - middle[2]) < height)]
    across = abs(near[:, 0] - middle[0])
    near = near[(across < apart / 2 + width) & (across > 0.35 * (apart / 2 - width))]
    plane = float((near[:, 1] - front(near[:, 0])).min()) - RIM

    turn = np.linspace(0, 2 * np.pi, 33)[:-1]
    curve = 2 / glasses.round
    around = np.stack(
        (
            width * np.sign(np.cos(turn)) * abs(np.cos(turn)) ** curve,
            height * np.sign(np.sin(turn)) * abs(np.sin(turn)) ** curve,
        ),
        -1,
    )
    parts = []
    depth = np.array((0, 1, 0), np.float32)
    for eye in (left, right):
        x, z = eye[0] + around[:, 0], middle[2] - 0.1 * height + around[:, 1]
        rim = np.stack((x, plane + front(x), z), -1)
        parts.append(_tube(rim, depth, closed=True, material=FRAME))
        if glasses.dark:
            parts.append(_fan(rim, GLASS))
    bridge = np.linspace(-1, 1, 7) * (apart / 2 - width)
    arch = middle[2] + 0.25 * height * (1 - np.linspace(-1, 1, 7) ** 2) + 0.1 * height
    parts.append(
        _tube(
            np.stack((middle[0] + bridge, plane + front(middle[0] + bridge), arch), -1),
            depth,
            closed=False,
            material=FRAME,
        )
    )
    hinge = apart / 2 + width
    level = middle[2] + 0.35 * height
    temple = face[(abs(face[:, 2] - level) < 0.014) & (face[:, 1] > -0.11) & (face[:, 1] < -0.085)]
    for side in (1, -1):
        start = middle[0] + side * hinge
        wide = float((side * (temple[:, 0] - middle[0])).max())
        arm = np.array(
            (
                (start, plane + front(start), level),
                (middle[0] + side * (hinge + wide) / 2, plane + front(start) + 0.014, level),
                (middle[0] + side * (wide + 0.003), -0.055, level + 0.004),
            ),
            np.float32,
        )
        parts.append(_tube(arm, np.array((0, 0, 1), np.float32), closed=False, material=FRAME))
    return _joined(parts)


def hat_mesh(hat: Hat, scalp: Array, brow: float) -> Mesh:
    """A hat on a scalp.

    Args:
        hat: Which.
        scalp: What it must cover `[V,3]`: the head above the ears, with its hair.
        brow: Height of its edge on the forehead.
    """
    angle = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    ahead = np.cos(angle)
    axis = np.array((float(scalp[:, 0].mean()), AXIS))
    top = float(scalp[:, 2].max())
    directions = np.stack((np.sin(angle), -ahead), -1)

    def reach(z: float) -> Array:
        """How far the scalp reaches at a height or above, in every direction."""
        above = scalp[scalp[:, 2] > z - 0.006][:, :2] - axis
        farthest: Array = (above @ directions.T).max(0)
        return farthest + 0.004

    def ring(radius: Array, z: ArrayLike) -> Array:
        flat = axis + radius[:, None] * directions
        return np.column_stack((flat, np.broadcast_to(z, AROUND)))

    edge = brow - 0.008 * (1 - ahead)
    parts = []
    if hat.style == "brim":
        crown = reach(brow)
        dip = 0.35 + 0.65 * ahead**2
        levels = [(1.0, 0.0), (0.99, 0.5), (0.95, 0.9), (0.80, 1.0), (0.0, 0.97)]
        height = top + 0.022 - brow
        rings = [ring(crown * wide, edge + height * up) for wide, up in levels]
        parts.append(_skin(rings, CLOTH))
        parts.append(_skin([ring(crown + 0.0015, edge), ring(crown + 0.001, edge + 0.012)], BAND))
        out = [0.0, 0.016, 0.034, 0.046]
        drop = [0.0, 0.004, 0.011, 0.018]
        parts.append(
            _skin(
                [
                    ring(crown + wide, edge + 0.001 - down * dip)
                    for wide, down in zip(out, drop, strict=True)
                ],
                CLOTH,
            )
        )
        return _joined(parts)
    loose = 0.012 if hat.style == "beanie" else 0.005
    first = reach(brow)
    rings = []
    for up in np.linspace(0, 0.98, 9):
        dome = np.sqrt(1 - up**2.6)
        radius = np.maximum(first * dome, reach(brow + up * (top - brow)))
        rings.append(ring(radius, edge + up * (top + loose - edge)))
    parts.append(_skin([*rings, ring(0 * first, top + loose)], CLOTH))
    if hat.style == "beanie":
        fold = [(0.002, -0.004), (0.007, 0.0), (0.007, 0.018), (0.002, 0.022)]
        parts.append(_skin([ring(first + wide, edge + up) for wide, up in fold], BAND))
        return _joined(parts)
    shade = np.clip((ahead - 0.45) / 0.55, 0, 1) ** 0.6
    parts.append(
        _skin(
            [
                ring(first - 0.002 + 0.05 * shade * far, edge + 0.003 - 0.026 * shade * far)
                for far in (0.0, 0.35, 0.7, 1.0)
            ],
            BAND,
        )
    )
    return _joined(parts)


def _tube(path: Array, up: Array, *, closed: bool, material: int) -> Mesh:
    """A tube with a square cross-section along a path `[n,3]`."""
    count = len(path)
    ahead = np.roll(path, -1, 0) - np.roll(path, 1, 0)
    if not closed:
        ahead[0], ahead[-1] = path[1] - path[0], path[-1] - path[-2]
    side = np.cross(ahead, up)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    corners = np.stack([path + RIM * (a * side + b * up) for a, b in _SQUARE], 1)
    rings = [corners[k] for k in range(count)]
    return _skin([*rings, rings[0]] if closed else rings, material)


_SQUARE = ((1, 1), (-1, 1), (-1, -1), (1, -1))


def _skin(rings: list[Array], material: int) -> Mesh:
    """The surface between rings `[m,3]` that follow one another."""
    size = len(rings[0])
    start = size * np.arange(len(rings) - 1)[:, None]
    here = np.arange(size)
    after = (here + 1) % size
    a, b = (start + here).ravel(), (start + after).ravel()
    faces = np.concatenate((np.stack((a, b, a + size), -1), np.stack((b, b + size, a + size), -1)))
    return _mesh(np.concatenate(rings), faces, material)


def _fan(rim: Array, material: int) -> Mesh:
    """The disc inside of a rim `[n,3]`."""
    here = np.arange(len(rim))
    faces = np.stack((here, np.roll(here, -1), np.full(len(rim), len(rim))), -1)
    return _mesh(np.concatenate((rim, rim.mean(0, keepdims=True))), faces, material)


def _mesh(vertices: Array, faces: NDArray[np.int64], material: int) -> Mesh:
    return Mesh(
        vertices=vertices.astype(np.float32),
        faces=faces.astype(np.int32),
        material=np.full(len(faces), material, np.int32),
    )


def _joined(parts: list[Mesh]) -> Mesh:
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    return Mesh(
        vertices=np.concatenate([part.vertices for part in parts]),
        faces=np.concatenate(
            [part.faces + np.int32(n) for part, n in zip(parts, starts, strict=False)]
        ),
        material=np.concatenate([part.material for part in parts]),
    )


def _muted(rng: Generator) -> NDArray[np.float64]:
    """A colour as clothes have it."""
    tones = rng.uniform(0.05, 0.9, 3)
    muted: NDArray[np.float64] = 0.6 * tones + 0.4 * tones.mean()
    return muted


def _colour(values: NDArray[np.float64]) -> Colour:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
