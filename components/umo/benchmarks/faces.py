"""The faces of picture files: each picture decoded once, its faces found and embedded once.

What was seen in a file is kept as safetensors, named by the digests of its bytes, of the face pack
and of the way of looking, so no file is looked at twice, by whichever process, and a file that
changed is looked at again.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from umo.benchmarks.again import see_again
from umo.benchmarks.pictures import read_cells
from umo.data.schema import Image
from umo.errors import UmoError
from umo.evaluation.measure import Seen, see
from umo.faces.packs import FacePack
from umo.files import atomic_path

Look = Literal["once", "again"]
"""Faces as the pack finds them, or found again in cut-outs, as the public scripts do."""
LOOKS: dict[Look, Callable[[FacePack, Sequence[Image]], list[Seen]]] = {
    "once": see,
    "again": see_again,
}
COUNTS, BOXES = "counts", "boxes"


@dataclass(frozen=True)
class Gallery:
    """The faces of picture files, remembered in a folder.

    Several processes may share the folder.
    """

    folder: Path
    pack: FacePack

    def faces(self, file: Path, grid: int, look: Look) -> list[Seen]:
        """The faces of each of the `grid` x `grid` pictures of a file.

        Raises:
            UmoError: The file cannot be read as such pictures.
        """
        try:
            encoded = file.read_bytes()
        except OSError as error:
            raise UmoError(f"the picture cannot be read: {error.strerror}") from error
        name = f"{hashlib.sha256(encoded).hexdigest()}-{grid}.safetensors"
        kept = self.folder / f"{self.pack.digest[:16]}-{look}" / name
        if kept.is_file():
            try:
                return _unpack(kept)
            except (SafetensorError, KeyError, ValueError):
                kept.unlink(missing_ok=True)
        _pack(LOOKS[look](self.pack, read_cells(encoded, grid)), kept)
        return _unpack(kept)


def _pack(seen: Sequence[Seen], path: Path) -> None:
    columns = {
        BOXES: np.concatenate([one.boxes for one in seen]).astype(np.float32),
        COUNTS: np.array([len(one.boxes) for one in seen]),
        **{
            name: np.concatenate([one.embeddings[name] for one in seen]).astype(np.float32)
            for name in seen[0].embeddings
        },
    }
    with atomic_path(path) as staged:
        save_file(columns, staged)


def _unpack(path: Path) -> list[Seen]:
    columns = load_file(path)
    cuts = columns.pop(COUNTS).cumsum()[:-1]
    parts = {name: np.split(rows.astype(np.float64), cuts) for name, rows in columns.items()}
    boxes = parts.pop(BOXES)
    return [
        Seen(boxes=box, embeddings={name: rows[cell] for name, rows in parts.items()})
        for cell, box in enumerate(boxes)
    ]
