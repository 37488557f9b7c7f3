"""Checkpoints: what a run needs to go on as if it had never stopped.

A checkpoint holds tensors (trained parameters, moments, averaged weights, random state) as
safetensors and everything else as JSON in its manifest, with the sha256 of every file. Each process
writes the rows that it holds of every tensor; a reader takes the rows it needs from whichever files
have them, so a run goes on with any number of processes. The newest whole checkpoint counts; a
damaged one is passed over with a warning.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.tensor import DTensor

from umo.errors import DiffersError, NotFoundError
from umo.files import manifest_text, read_manifest, sha256, write_errors
from umo.training.parallel import World, local
from umo.training.places import Place

KEPT = 2
ROWS = "rows"
"""Metadata of a file: for each tensor its first row there, and the shape of the whole."""

log = logging.getLogger(__name__)


class Checkpoint:
    """A verified checkpoint.

    Args:
        folder: Its files.

    Raises:
        NotFoundError: There is no manifest.
        DiffersError: A file is missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        manifest = read_manifest(folder, verify=True)
        self.facts: dict[str, Any] = manifest["facts"]
        self._folder = folder
        self._parts: dict[str, list[tuple[int, str]]] = defaultdict(list)
        self._shapes: dict[str, list[int]] = {}
        for name in sorted(manifest["files"]):
            if name.endswith(".safetensors"):
                with self._file(name) as file:
                    for key, (start, shape) in json.loads(file.metadata()[ROWS]).items():
                        self._parts[key].append((start, name))
                        self._shapes[key] = shape

    def __contains__(self, key: str) -> bool:
        return key in self._parts

    def text(self, name: str) -> str:
        """A text file."""
        return (self._folder / name).read_text()

    def tensor(self, key: str) -> Tensor:
        """A whole tensor."""
        shape = self._shapes[key]
        return self._rows(key, 0, shape[0] if shape else 1).reshape(shape)

    def fill(self, target: Tensor, key: str) -> None:
        """Copy what this process holds of `target` from the tensor `key`.

        Raises:
            DiffersError: There is no such tensor, or it has another shape.
        """
        if self._shapes.get(key) != list(target.shape):
            raise DiffersError(
                f"{self._folder} has {key} of shape {self._shapes.get(key)}, "
                f"the model's is {list(target.shape)}",
                hint="use the base that the run began with",
            )
        mine, start = local(target)
        count = mine.shape[0] if mine.ndim else 1
        with torch.no_grad():
            mine.copy_(self._rows(key, start, start + count).reshape(mine.shape))

    def _rows(self, key: str, start: int, stop: int) -> Tensor:
        found = []
        for first, name in sorted(self._parts[key]):
            with self._file(name) as file:
                piece = file.get_slice(key)
                last = first + piece.get_shape()[0]
                low, high = max(start, first), min(stop, last)
                if low < high or start == stop:
                    found.append(piece[low - first : max(low, high) - first])
        return torch.cat(found)

    @contextmanager
    def _file(self, name: str) -> Iterator[Any]:
        try:
            with safe_open(self._folder / name, "pt") as file:
                yield file
        except SafetensorError as error:
            raise DiffersError(f"{self._folder / name} is damaged: {error}") from error


class Checkpoints:
    """The checkpoints of a run; at least two are kept.

    Args:
        place: Where they are.
        world: Which processes write and read them.
    """

    def __init__(self, place: Place, world: World) -> None:
        self._place = place
        self._world = world

    def save(
        self,
        step: int,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        texts: Mapping[str, str],
    ) -> None:
        """Write a checkpoint; every process calls this.

        Args:
            step: After which step.
            tensors: By name; sharded ones, and those that all processes have alike.
            facts: Plain JSON values; those of the first process count.
            texts: Text files by name; those of the first process count.

        Raises:
            UmoError: It could not be written; the checkpoints before it are as they were.
        """
        place, world, name = self._place, self._world, f"step-{step:08d}"
        if world.first:
            place.prepare(name)
        world.wait()
        staged = place.stage(name)
        shard = staged / _shard(world.rank)
        with write_errors(staged):
            _write(shard, tensors, world)
            written = [staged / text for text in texts] if world.first else []
            for path in written:
                path.write_text(texts[path.name])
        digests = world.collect(bytes.fromhex(sha256(shard)))
        files = {_shard(rank): digest.hex() for rank, digest in enumerate(digests)}
        files |= {path.name: sha256(path) for path in written}
        place.send(name)
        world.wait()
        if world.first:
            place.seal(name, manifest_text(files, {"kind": "checkpoint", "facts": dict(facts)}))
            for old in place.names()[:-KEPT]:
                place.remove(old)

    @contextmanager
    def newest(self) -> Iterator[Checkpoint | None]:
        """The newest whole checkpoint, if there is one; the same in every process.

        Raises:
            UmoError: The place cannot be read.
        """
        for name in reversed(self._place.names()):
            with self._place.opened(name) as folder:
                try:
                    checkpoint = Checkpoint(folder)
                except (NotFoundError, DiffersError, ValueError) as error:
                    log.warning("%s/%s is passed over: %s", self._place, name, error)
                    continue
                yield checkpoint
                return
        yield None

    def clear(self) -> None:
        """Remove them all; the run is over."""
        if self._world.first:
            self._place.clear()
        self._world.wait()


def _write(path: Path, tensors: Mapping[str, Tensor], world: World) -> None:
    """Write what this process alone holds: its rows, and if it is the first, what all have."""
    held, rows = {}, {}
    for name, tensor in tensors.items():
        mine, start = local(tensor)
        if world.first or (isinstance(tensor, DTensor) and mine.numel()):
            held[name] = torch.atleast_1d(mine.detach()).cpu().contiguous()
            rows[name] = (start, list(tensor.shape))
    try:
        save_file(held, path, metadata={"format": "pt", ROWS: json.dumps(rows)})
    except SafetensorError as error:
        raise OSError(f"{path.name}: {error}") from error


def _shard(rank: int) -> str:
    return f"shard-{rank:05d}.safetensors"
