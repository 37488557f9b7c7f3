"""Datasets: folders of parquet shards with a manifest, written atomically, read at random."""

import bisect
import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from umo.data.rows import SCHEMA, Row, decode, encode
from umo.data.schema import READABLE, VERSION, Sample
from umo.data.statistics import Statistics
from umo.errors import UmoError, UsageError
from umo.files import atomic_folder, read_manifest, write_manifest

KIND = "dataset"
FACE_PACK = "face_pack"
"""The manifest's fact on whose judge made the embeddings: `name` and `digest`."""
ROWS_PER_GROUP = 100


def write_dataset(
    samples: Iterable[Sample],
    folder: Path,
    facts: Mapping[str, Any],
    *,
    rows_per_shard: int = 1000,
    part: bool = False,
) -> str:
    """Write samples as `shard-00000.parquet` ... and `manifest.json`; the folder appears whole.

    Args:
        samples: Read once, in order; at most one row group of them is in memory.
        folder: Replaced if it exists.
        facts: What the manifest says of the dataset, for example the config that made it.
        rows_per_shard: Samples in each shard but the last.
        part: Whether this is one of the parts of a dataset, which may be empty.

    Returns:
        The dataset's digest; the same samples give the same digest.

    Raises:
        UsageError: No samples, a key used twice, a sample that says not of each person the same
            things, or embeddings without a `face_pack` in the facts.
        UmoError: The folder could not be written.
    """
    return _write_rows(map(encode, samples), folder, facts, rows_per_shard, empty=part)


def join_datasets(
    parts: Iterable["Dataset"],
    folder: Path,
    facts: Mapping[str, Any],
    *,
    rows_per_shard: int = 1000,
) -> str:
    """Write the samples of several datasets as one: the bytes that `write_dataset` would write.

    Args:
        parts: In order; their pictures are copied as they are.
        folder: Replaced if it exists.
        facts: What the manifest says of the dataset.
        rows_per_shard: Samples in each shard but the last.

    Returns:
        The dataset's digest.

    Raises:
        UsageError: No samples, or a key used twice.
        UmoError: A part is damaged, or the folder could not be written.
    """
    rows = itertools.chain.from_iterable(part.rows() for part in parts)
    return _write_rows(rows, folder, facts, rows_per_shard, empty=False)


def _write_rows(
    rows: Iterator[Row], folder: Path, facts: Mapping[str, Any], rows_per_shard: int, *, empty: bool
) -> str:
    keys: set[str] = set()
    statistics = Statistics()
    with atomic_folder(folder) as staged:
        for shard in itertools.count():
            first = next(rows, None)
            if first is None:
                break
            path = staged / f"shard-{shard:05d}.parquet"
            content = itertools.chain([first], itertools.islice(rows, rows_per_shard - 1))
            _write_shard(_counted(content, keys, statistics), path)
        if not (keys or empty):
            raise UsageError(f"no samples to write to {folder}")
        counted = statistics.facts()
        if counted["with"]["embeddings"] and FACE_PACK not in facts:
            raise UsageError(f"no {FACE_PACK} is named for the embeddings in {folder}")
        return write_manifest(
            staged,
            {
                **facts,
                "kind": KIND,
                "schema": VERSION,
                "samples": len(keys),
                "statistics": counted,
            },
        )


def _counted(rows: Iterator[Row], keys: set[str], statistics: Statistics) -> Iterator[Row]:
    for row in rows:
        if row["key"] in keys:
            raise UsageError(f"two samples have the key {row['key']!r}")
        keys.add(row["key"])
        statistics.add(row)
        yield row


class Dataset:
    """A dataset that `write_dataset` wrote.

    Reading in order, or at random within a row group, costs one read of 100 rows; the last row
    group stays in memory.

    Args:
        folder: The dataset's folder.

    Raises:
        NotFoundError: The folder has no manifest.
        UsageError: The manifest is not a dataset's.
        UmoError: A shard is missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)
        if self.manifest.get("kind") != KIND:
            raise UsageError(
                f"{folder} holds a {self.manifest.get('kind')!r}, not a {KIND!r}",
                hint="name a folder that `umo data` wrote",
            )
        version = self.manifest.get("schema", 1)
        if version not in READABLE:
            raise UsageError(
                f"{folder} has schema {version}, this version of umo reads {READABLE}",
                hint="read it with the version that wrote it, or a newer one",
            )
        self.digest: str = self.manifest["digest"]
        self._paths = [folder / name for name in sorted(self.manifest["files"])]
        self._shards = [_open_shard(path) for path in self._paths]
        self._groups = [
            (shard, group)
            for shard, file in enumerate(self._shards)
            for group in range(file.num_row_groups)
        ]
        counts = [self._shards[s].metadata.row_group(g).num_rows for s, g in self._groups]
        self._starts: list[int] = list(itertools.accumulate(counts, initial=0))
        if len(self) != self.manifest["samples"]:
            raise UmoError(
                f"{folder} holds {len(self)} samples, its manifest says {self.manifest['samples']}",
                hint="make the dataset again",
            )
        self._cached: tuple[int, list[Row]] = (-1, [])

    def __len__(self) -> int:
        return self._starts[-1]

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Sample:
        """The sample at `index`, 0 to `len - 1`.

        Raises:
            IndexError: There is no such sample.
            UmoError: Its shard is damaged or one of its pictures cannot be read.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        group = bisect.bisect_right(self._starts, index) - 1
        if self._cached[0] != group:
            self._cached = (group, self._read_group(group))
        row = self._cached[1][index - self._starts[group]]
        try:
            return decode(row)
        except (OSError, SyntaxError, ValueError) as error:
            raise UmoError(
                f"{self.folder}: sample {row['key']!r} has an unreadable picture: {error}",
                hint="make the dataset again",
            ) from error

    def rows(self) -> Iterator[Row]:
        """Every sample as it is stored."""
        for group in range(len(self._groups)):
            yield from self._read_group(group)

    def people(self, index: int) -> int:
        """Number of references of a sample, without decoding a picture."""
        return int(self._people[index])

    @cached_property
    def _people(self) -> NDArray[np.int32]:
        columns = []
        for path, file in zip(self._paths, self._shards, strict=True):
            with _reading(path):
                columns.append(file.read(columns=["people"])["people"].to_numpy())
        return np.concatenate(columns)

    def _read_group(self, group: int) -> list[Row]:
        shard, inside = self._groups[group]
        with _reading(self._paths[shard]):
            table = self._shards[shard].read_row_group(inside, use_threads=False)
            rows: list[Row] = table.to_pylist()
        return rows


def _write_shard(rows: Iterator[Row], path: Path) -> None:
    with pq.ParquetWriter(path, SCHEMA, compression="none", write_page_checksum=True) as writer:
        while group := list(itertools.islice(rows, ROWS_PER_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, SCHEMA), row_group_size=ROWS_PER_GROUP)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise UmoError(
            f"{path} is damaged or missing: {' '.join(str(error).split())}",
            hint="make the dataset again",
        ) from error


def _open_shard(path: Path) -> pq.ParquetFile:
    with _reading(path):
        return pq.ParquetFile(path, memory_map=True, page_checksum_verification=True)
