"""A person's picture: the head posed, given hair, rasterised and shaded pixel by pixel."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from umo.data.accessories import BROW, Mesh, Worn, glasses_mesh, hat_mesh
from umo.data.head import load_head
from umo.data.people import Person, View
from umo.data.raster import average, rasterise, vertex_normals
from umo.data.shader import (
    CURTAIN,
    EYE,
    LIDS,
    MOUTH,
    SKIN,
    Light,
    hair_cover,
    light_of,
    paint_of,
    shade,
)

Array = NDArray[np.float32]

OVERSAMPLING = 2
EYE_TO_CHIN = 0.46
"""Distance from eyes to chin, in tile heights."""
EYE_LEVEL = 0.44
"""Height of the eyes below the upper edge, in tile heights."""
CAMERA = 2.2
"""Distance of the camera, body units."""
UNDER_HAT = 0.006
"""Most volume of hair that a hat leaves, body units."""
LENS = (0.06, 0.06, 0.07)
"""Of sunglasses, RGB."""
PIVOT = np.array((0.0, -0.03, 0.78), np.float32)
"""What the head turns about."""


@dataclass(frozen=True, kw_only=True)
class Portrait:
    """A person without a background."""

    colour: Array
    """Premultiplied RGB `[H,W,3]`, 0 to 1."""
    alpha: Array
    """Cover `[H,W,1]`, 0 to 1."""
    box: tuple[float, float, float, float]
    """The face, xyxy pixels."""


def portray(
    person: Person,
    view: View,
    light: Light,
    *,
    tile: int,
    width: int,
    centre: float,
    size: float,
    worn: Worn | None = None,
) -> Portrait:
    """Render a person.

    Args:
        person: Who.
        view: The moment.
        light: The light.
        tile: Height of the picture, px.
        width: Width of the picture, px.
        centre: Where the eyes' middle is, px from the left.
        size: Scale about the usual size, 1 is usual.
        worn: Glasses and a hat.

    Returns:
        The portrait, `[tile,width]`.
    """
    worn = worn or Worn()
    if worn.hat:
        person = replace(person, hair_volume=min(person.hair_volume, UNDER_HAT))
    mesh = load_head()
    hair = np.array((person.hair_volume, person.hairline), np.float32)
    scalp = hair_cover(mesh.template, hair)
    rest = mesh.vertices(person.shape)
    posed = rest + mesh.displacement(view.expression)
    eyes = _eyes()
    front = mesh.template[:, 1] < -0.1
    eye_z = float(rest[eyes, 2].mean())
    chin_z = float(rest[front & (mesh.template[:, 2] > 0.67), 2].min())
    anchor = rest[eyes].mean(0)
    normals = vertex_normals(posed, mesh.faces)
    strand = np.sin(mesh.template[:, :1] * 260) * np.sin(mesh.template[:, 1:2] * 190)
    posed = posed + normals * scalp[:, None] * person.hair_volume * (1 + 0.25 * strand)
    curtain, curtain_faces = _curtain(person)
    vertices = np.concatenate((posed, curtain + (anchor - mesh.template[eyes].mean(0))))
    faces = np.concatenate((mesh.faces, curtain_faces + len(posed)))
    coordinates = np.concatenate((mesh.template, curtain))
    lips = np.concatenate((mesh.lips, np.zeros(len(curtain), np.float32)))
    material = np.concatenate((_materials(), np.full(len(curtain_faces), CURTAIN, np.int32)))
    for extra in _worn(worn, rest, vertices):
        faces = np.concatenate((faces, extra.faces + np.int32(len(vertices))))
        vertices = np.concatenate((vertices, extra.vertices))
        material = np.concatenate((material, extra.material))
    more = len(vertices) - len(coordinates)
    coordinates = np.concatenate((coordinates, vertices[len(coordinates) :]))
    lips = np.concatenate((lips, np.zeros(more, np.float32)))

    turned = (vertices - PIVOT) @ _rotation(view).T
    normals = vertex_normals(turned.astype(np.float32), faces)
    middle = _rotation(view) @ (anchor - PIVOT)
    scale = OVERSAMPLING * tile * EYE_TO_CHIN * size / (eye_z - chin_z)
    depth = (CAMERA + turned[:, 1]) / (CAMERA + middle[1])
    points = np.stack(
        (
            OVERSAMPLING * centre + scale * (turned[:, 0] - middle[0]) / depth,
            OVERSAMPLING * tile * EYE_LEVEL - scale * (turned[:, 2] - middle[2]) / depth,
            turned[:, 1],
        ),
        -1,
    ).astype(np.float32)
    index, weights = rasterise(points, faces, OVERSAMPLING * tile, OVERSAMPLING * width)
    picture = shade(
        index,
        weights,
        faces,
        np.concatenate((coordinates, normals, lips[:, None]), 1),
        material,
        np.concatenate((paint_of(person), _paint(worn))),
        light_of(light),
    )
    small = average(picture, OVERSAMPLING)
    face = points[: len(mesh.template)][front & (mesh.template[:, 2] > 0.67)]
    return Portrait(
        colour=small[..., :3],
        alpha=small[..., 3:],
        box=_box(face / np.float32(OVERSAMPLING)),
    )


def _box(points: Array) -> tuple[float, float, float, float]:
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _rotation(view: View) -> Array:
    def turn(axis: int, angle: float) -> Array:
        a, b = [k for k in range(3) if k != axis]
        matrix: Array = np.eye(3, dtype=np.float32)
        matrix[a, a] = matrix[b, b] = np.cos(angle)
        matrix[a, b], matrix[b, a] = -np.sin(angle), np.sin(angle)
        return matrix

    rotation: Array = (turn(1, view.roll) @ turn(0, view.pitch) @ turn(2, view.yaw)).astype(
        np.float32
    )
    return rotation


def _worn(worn: Worn, rest: Array, vertices: Array) -> Iterator[Mesh]:
    """What is worn by a head at rest, whose hair is among its `vertices`."""
    head = load_head()
    if worn.glasses:
        left, right = (rest[head.vertices_of(f"eye_front.{side}")].mean(0) for side in "LR")
        yield glasses_mesh(worn.glasses, rest, left, right)
    if worn.hat:
        lift = float((rest[_eyes(), 2] - head.template[_eyes(), 2]).mean())
        brow = BROW + lift
        yield hat_mesh(worn.hat, vertices[vertices[:, 2] > brow - 0.01], brow)


def _paint(worn: Worn) -> Array:
    """Colours `[4,3]` of what is worn, in the order of its materials."""
    rows = np.zeros((4, 3), np.float32)
    if worn.glasses:
        rows[0], rows[1] = worn.glasses.colour, LENS
    if worn.hat:
        rows[2], rows[3] = worn.hat.colour, worn.hat.band
    return rows


@cache
def _eyes() -> NDArray[np.int64]:
    return load_head().vertices_of("eye_front.L", "eye_front.R")


@cache
def _materials() -> NDArray[np.int32]:
    """The material of each triangle of the head."""
    mesh = load_head()
    known = {"eye_cavity": LIDS, "mouth_cavity": MOUTH, "eye_front": EYE}
    of_part = [known.get(name.split(".")[0], SKIN) for name in mesh.parts]
    return np.array(of_part, np.int32)[mesh.part]


def _curtain(person: Person) -> tuple[Array, NDArray[np.int32]]:
    """Hair that falls behind the face and beside it: vertices `[n,3]` and triangles `[m,3]`."""
    if person.hair_length == 0 or person.hair_volume == 0:
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)
    columns, rows = 25, 8
    angle = np.linspace(-2.15, 2.15, columns)[None, :]
    down = np.linspace(0, 1, rows)[:, None]
    width = 0.076 + person.hair_volume + 0.02 * down * (1 - 0.4 * down)
    wave = 1 + 0.04 * np.sin(5 * angle)
    bottom = 0.78 - person.hair_length
    vertices = np.stack(
        (
            width * wave * np.sin(angle),
            -0.03 + (width + 0.012) * wave * np.cos(angle),
            np.broadcast_to(0.875 + down * (bottom - 0.875), (rows, columns)),
        ),
        -1,
    )
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    faces = np.concatenate(
        (
            np.stack((corner, corner + columns, corner + 1), -1),
            np.stack((corner + 1, corner + columns, corner + columns + 1), -1),
        )
    )
    return vertices.reshape(-1, 3).astype(np.float32), faces.astype(np.int32)
