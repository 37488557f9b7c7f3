"""A z-buffer rasteriser for triangle meshes, compiled on first use."""

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def vertex_normals(vertices: Array, faces: NDArray[np.int32]) -> Array:
    """Area-weighted unit normals `[V,3]` of vertices `[V,3]` with triangles `[F,3]`."""
    normals = np.zeros_like(vertices)
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ux = vertices[b, 0] - vertices[a, 0]
        uy = vertices[b, 1] - vertices[a, 1]
        uz = vertices[b, 2] - vertices[a, 2]
        vx = vertices[c, 0] - vertices[a, 0]
        vy = vertices[c, 1] - vertices[a, 1]
        vz = vertices[c, 2] - vertices[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for k in range(3):
            v = faces[f, k]
            normals[v, 0] += nx
            normals[v, 1] += ny
            normals[v, 2] += nz
    for v in range(normals.shape[0]):
        x, y, z = normals[v, 0], normals[v, 1], normals[v, 2]
        length = np.sqrt(x * x + y * y + z * z) + np.float32(1e-12)
        normals[v, 0] = x / length
        normals[v, 1] = y / length
        normals[v, 2] = z / length
    return normals


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def rasterise(
    points: Array, faces: NDArray[np.int32], height: int, width: int
) -> tuple[NDArray[np.int32], Array]:
    """The nearest triangle at each pixel centre, and where in it the pixel lies.

    Args:
        points: `[V,3]`: x and y in pixels (y down), and depth, smaller is nearer.
        faces: Triangles `[F,3]`.
        height: Rows.
        width: Columns.

    Returns:
        Triangle index `[height,width]`, -1 where there is none, and barycentric weights
        `[height,width,3]`.
    """
    index = np.full((height, width), -1, np.int32)
    weights = np.zeros((height, width, 3), np.float32)
    nearest = np.full((height, width), np.inf, np.float32)
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, az = points[a, 0], points[a, 1], points[a, 2]
        bx, by, bz = points[b, 0], points[b, 1], points[b, 2]
        cx, cy, cz = points[c, 0], points[c, 1], points[c, 2]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if abs(area) < 1e-9:
            continue
        left = max(int(np.ceil(min(ax, bx, cx) - 0.5)), 0)
        right = min(int(np.floor(max(ax, bx, cx) - 0.5)), width - 1)
        top = max(int(np.ceil(min(ay, by, cy) - 0.5)), 0)
        bottom = min(int(np.floor(max(ay, by, cy) - 0.5)), height - 1)
        for row in range(top, bottom + 1):
            y = row + 0.5
            for column in range(left, right + 1):
                x = column + 0.5
                wa = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
                wb = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
                wc = 1.0 - wa - wb
                if wa < 0.0 or wb < 0.0 or wc < 0.0:
                    continue
                depth = wa * az + wb * bz + wc * cz
                if depth < nearest[row, column]:
                    nearest[row, column] = depth
                    index[row, column] = f
                    weights[row, column, 0] = wa
                    weights[row, column, 1] = wb
                    weights[row, column, 2] = wc
    return index, weights


def average(picture: Array, factor: int) -> Array:
    """Shrink `[H,W,C]` by an integer factor, each new pixel the mean of a square of old ones."""
    offsets = [(i, j) for i in range(factor) for j in range(factor)]
    shrunk: Array = np.mean([picture[i::factor, j::factor] for i, j in offsets], axis=0)
    return shrunk
