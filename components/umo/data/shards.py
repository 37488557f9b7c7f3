"""Datasets: folders of parquet shards with a manifest, written atomically, read at random."""

import bisect
import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from umo.data.location import locate, staged
from umo.data.rows import SCHEMA, Row, decode, encode, upgraded
from umo.data.schema import READABLE, VERSION, Sample
from umo.data.statistics import Statistics
from umo.errors import UmoError, UsageError
from umo.files import read_manifest, write_manifest

T = TypeVar("T")

KIND = "dataset"
FACE_PACK = "face_pack"
"""The manifest's fact on whose judge made the embeddings: `name` and `digest`."""
ROWS_PER_GROUP = 100


def write_dataset(
    samples: Iterable[Sample],
    folder: Path | str,
    facts: Mapping[str, Any],
    *,
    rows_per_shard: int = 1000,
    part: bool = False,
) -> str:
    """Write samples as `shard-00000.parquet` ... and `manifest.json`; the folder appears whole.

    Args:
        samples: Read once, in order; at most one row group of them is in memory.
        folder: A folder, or `s3://bucket/prefix`; replaced if it exists.
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
    rows = map(encode, samples)
    return write_rows(rows, folder, facts, rows_per_shard=rows_per_shard, part=part)


def join_datasets(
    parts: Iterable["Dataset"],
    folder: Path | str,
    facts: Mapping[str, Any],
    *,
    rows_per_shard: int = 1000,
) -> str:
    """Write the samples of several datasets as one: the bytes that `write_dataset` would write.

    Args:
        parts: In order; their pictures are copied as they are.
        folder: A folder, or `s3://bucket/prefix`; replaced if it exists.
        facts: What the manifest says of the dataset.
        rows_per_shard: Samples in each shard but the last.

    Returns:
        The dataset's digest.

    Raises:
        UsageError: No samples, or a key used twice.
        UmoError: A part is damaged, or the folder could not be written.
    """
    rows = itertools.chain.from_iterable(part.rows() for part in parts)
    return write_rows(rows, folder, facts, rows_per_shard=rows_per_shard)


def write_rows(
    rows: Iterable[Row],
    folder: Path | str,
    facts: Mapping[str, Any],
    *,
    rows_per_shard: int = 1000,
    part: bool = False,
) -> str:
    """Write samples as `write_dataset` does, from rows that are encoded already."""
    with staged(folder) as written:
        digest = fill(written, rows, facts, rows_per_shard=rows_per_shard)
        if not (part or read_manifest(written)["samples"]):
            raise UsageError(f"no samples to write to {folder}")
    return digest


def fill(
    folder: Path, rows: Iterable[Row], facts: Mapping[str, Any], *, rows_per_shard: int = 1000
) -> str:
    """Write rows into an empty folder, which is nobody's yet, and close it; returns the digest."""
    keys: set[str] = set()
    statistics = Statistics()
    rows = iter(rows)
    for shard in itertools.count():
        first = next(rows, None)
        if first is None:
            break
        path = folder / f"shard-{shard:05d}.parquet"
        content = itertools.chain([first], itertools.islice(rows, rows_per_shard - 1))
        _write_shard(_counted(content, keys, statistics), path)
    counted = statistics.facts()
    if counted["with"]["embeddings"] and FACE_PACK not in facts:
        raise UsageError(f"no {FACE_PACK} is named for the embeddings")
    written = {"kind": KIND, "schema": VERSION, "samples": len(keys), "statistics": counted}
    return write_manifest(folder, {**facts, **written})


def _counted(rows: Iterator[Row], keys: set[str], statistics: Statistics) -> Iterator[Row]:
    for row in rows:
        if row["key"] in keys:
            raise UsageError(f"two samples have the key {row['key']!r}")
        keys.add(row["key"])
        statistics.add(row)
        yield row


class Dataset:
    """A dataset that `write_dataset` wrote.

    Reading in order, or at random within a few row groups, costs one read of 100 rows; the row
    groups that were read last stay in memory.

    Args:
        folder: The dataset's folder, or `s3://bucket/prefix`.
        groups: How many row groups stay in memory.

    Raises:
        NotFoundError: The folder has no manifest.
        UsageError: The manifest is not a dataset's, or of a version that cannot be read.
        UmoError: A shard is missing or damaged.
    """

    def __init__(self, folder: Path | str, *, groups: int = 1) -> None:
        self.folder = folder
        self._location = locate(folder)
        self.manifest = self._location.manifest()
        if self.manifest.get("kind") != KIND:
            raise UsageError(
                f"{folder} holds a {self.manifest.get('kind')!r}, not a {KIND!r}",
                hint="name a folder that `umo data` wrote",
            )
        self.version: int = self.manifest.get("schema", 1)
        if self.version not in READABLE:
            raise UsageError(
                f"{folder} has schema {self.version}, this version of umo reads {READABLE}",
                hint="read it with the version that wrote it, or a newer one",
            )
        self.digest: str = self.manifest["digest"]
        self._names = sorted(self.manifest["files"])
        self._shards = [self._open(name) for name in self._names]
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
        self._most = groups
        self._cached: OrderedDict[int, list[Row]] = OrderedDict()

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
        return self.sample(self.row(index))

    def row(self, index: int) -> Row:
        """The sample at `index` as it is stored.

        Raises:
            IndexError: There is no such sample.
            UmoError: Its shard is damaged.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        group = bisect.bisect_right(self._starts, index) - 1
        if group not in self._cached:
            self._cached[group] = self._read_group(group)
        self._cached.move_to_end(group)
        if len(self._cached) > self._most:
            self._cached.popitem(last=False)
        return self._cached[group][index - self._starts[group]]

    def sample(self, row: Row) -> Sample:
        """The sample of a row of this dataset.

        Raises:
            UmoError: One of its pictures cannot be read.
        """
        return self._read(decode, row)

    def _read(self, reader: Callable[[Row], T], row: Row) -> T:
        try:
            return reader(row)
        except (OSError, SyntaxError, ValueError) as error:
            raise UmoError(
                f"{self.folder}: sample {row['key']!r} has an unreadable picture: {error}",
                hint="make the dataset again",
            ) from error

    def rows(self) -> Iterator[Row]:
        """Every sample as it is stored."""
        for group in range(len(self._groups)):
            yield from self._read_group(group)

    def column(self, name: str) -> list[Any]:
        """One column of every sample."""
        values: list[Any] = []
        for shard, file in zip(self._names, self._shards, strict=True):
            with self._reading(shard):
                values += file.read(columns=[name])[name].to_pylist()
        return values

    @contextmanager
    def opened(self, name: str) -> Iterator[Any]:
        """A file of the dataset, to read its bytes.

        Raises:
            UmoError: It is missing or cannot be read.
        """
        with self._reading(name), self._location.open(name) as stream:
            yield stream

    @property
    def starts(self) -> list[int]:
        """The first sample of each row group, which is read at once."""
        return self._starts[:-1]

    def people(self, index: int) -> int:
        """Number of people of a sample, without decoding a picture."""
        return self._people[index]

    @cached_property
    def _people(self) -> list[int]:
        return self.column("people")

    def _read_group(self, group: int) -> list[Row]:
        shard, inside = self._groups[group]
        with self._reading(self._names[shard]):
            table = self._shards[shard].read_row_group(inside, use_threads=False)
            rows: list[Row] = table.to_pylist()
        return rows if self.version == VERSION else [self._read(upgraded, row) for row in rows]

    def _open(self, shard: str) -> pq.ParquetFile:
        with self._reading(shard):
            return pq.ParquetFile(self._location.open(shard), page_checksum_verification=True)

    @contextmanager
    def _reading(self, shard: str) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            raise UmoError(
                f"{self.folder}/{shard} is damaged or missing: {' '.join(str(error).split())}",
                hint="make the dataset again",
            ) from error


def _write_shard(rows: Iterator[Row], path: Path) -> None:
    with pq.ParquetWriter(path, SCHEMA, compression="none", write_page_checksum=True) as writer:
        while group := list(itertools.islice(rows, ROWS_PER_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, SCHEMA), row_group_size=ROWS_PER_GROUP)
