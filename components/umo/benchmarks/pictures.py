"""Pictures of an item: the cells of one PNG, row by row."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from umo.benchmarks.item import Item
from umo.data.schema import Image
from umo.errors import NotFoundError, UmoError
from umo.files import atomic_path


def find_file(item: Item, folder: Path) -> Path:
    """The item's PNG below a folder of pictures.

    Raises:
        NotFoundError: There is none.
        UmoError: There are several.
    """
    found = sorted(folder.glob(item.pattern)) if item.pattern else []
    exact = folder / item.file
    if exact.is_file() and exact not in found:
        found.append(exact)
    if not found:
        absent = [reference.name for reference in item.references if not reference.file.is_file()]
        without = f", and it cannot be painted without {absent[0]}" if absent else ""
        raise NotFoundError(f"there is no picture{without}")
    if len(found) > 1:
        names = " and ".join(sorted(path.name for path in found)[:2])
        raise UmoError(f"there are {len(found)} files for the item: {names}")
    return found[0]


def read_picture(encoded: bytes) -> Pillow.Image:
    """A whole picture, upright, RGB.

    Raises:
        UmoError: It is damaged.
    """
    try:
        with Pillow.open(io.BytesIO(encoded)) as opened:
            return ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError) as error:
        raise UmoError(f"the picture is damaged: {' '.join(str(error).split())}") from error


def read_cells(encoded: bytes, grid: int) -> list[Image]:
    """The `grid` x `grid` pictures of a PNG, row by row.

    Raises:
        UmoError: It is damaged, or cannot be divided.
    """
    pixels = np.asarray(read_picture(encoded))
    height, width, _ = pixels.shape
    if height % grid or width % grid:
        raise UmoError(f"{width} x {height} px is no grid of {grid} x {grid}")
    rows = np.split(pixels, grid, axis=0)
    return [np.ascontiguousarray(cell) for row in rows for cell in np.split(row, grid, axis=1)]


def write_cells(path: Path, cells: Sequence[Image], grid: int) -> None:
    """Write the PNG of `grid` x `grid` pictures of one size; it appears whole or not at all."""
    rows = [
        np.concatenate(cells[start : start + grid], axis=1) for start in range(0, len(cells), grid)
    ]
    with atomic_path(path) as staged:
        Pillow.fromarray(np.concatenate(rows)).save(staged, format="PNG")
