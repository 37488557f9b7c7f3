"""Datasets: folders of parquet shards with a manifest, written atomically, read at random."""

import bisect
import io
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
from PIL import Image as Pillow

from umo.data.schema import Image, Sample
from umo.errors import UmoError, UsageError
from umo.files import atomic_folder, read_manifest, write_manifest

KIND = "dataset"
ROWS_PER_GROUP = 100

SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("prompt", pa.string()),
        ("people", pa.int32()),
        ("target", pa.binary()),
        ("references", pa.list_(pa.binary())),
        ("boxes", pa.list_(pa.list_(pa.float32(), 4))),
        ("identities", pa.list_(pa.string())),
        ("split", pa.string()),
        ("source", pa.string()),
        ("licence", pa.string()),
        ("consent", pa.string()),
    ]
)
"""One row for each sample; pictures are PNG bytes."""
Row = dict[str, Any]
"""Values of `SCHEMA`."""


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
        UsageError: No samples, a key used twice, or boxes, references and identities of a sample
            differ in number.
        UmoError: The folder could not be written.
    """
    return _write_rows(map(_row, samples), folder, facts, rows_per_shard, empty=part)


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
    with atomic_folder(folder) as staged:
        for shard in itertools.count():
            first = next(rows, None)
            if first is None:
                break
            path = staged / f"shard-{shard:05d}.parquet"
            _write_shard(
                itertools.chain([first], itertools.islice(rows, rows_per_shard - 1)), path, keys
            )
        if not (keys or empty):
            raise UsageError(f"no samples to write to {folder}")
        return write_manifest(staged, {**facts, "kind": KIND, "samples": len(keys)})


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
            return _sample(row)
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


def _write_shard(rows: Iterator[Row], path: Path, keys: set[str]) -> None:
    with pq.ParquetWriter(path, SCHEMA, compression="none", write_page_checksum=True) as writer:
        while group := list(itertools.islice(rows, ROWS_PER_GROUP)):
            for row in group:
                if row["key"] in keys:
                    raise UsageError(f"two samples have the key {row['key']!r}")
                keys.add(row["key"])
            writer.write_table(pa.Table.from_pylist(group, SCHEMA), row_group_size=ROWS_PER_GROUP)


def _row(sample: Sample) -> Row:
    counts = (len(sample.references), len(sample.boxes), len(sample.identities))
    if len(set(counts)) > 1:
        raise UsageError(
            f"sample {sample.key!r} has {counts[0]} references, {counts[1]} boxes and "
            f"{counts[2]} identities",
            hint="give one of each for every person",
        )
    return {
        "key": sample.key,
        "prompt": sample.prompt,
        "people": counts[0],
        "target": _png(sample.target),
        "references": [_png(reference) for reference in sample.references],
        "boxes": np.asarray(sample.boxes, np.float32).tolist(),
        "identities": list(sample.identities),
        "split": sample.split,
        "source": sample.source,
        "licence": sample.licence,
        "consent": sample.consent,
    }


def _sample(row: Row) -> Sample:
    return Sample(
        key=row["key"],
        prompt=row["prompt"],
        target=_pixels(row["target"]),
        references=tuple(_pixels(reference) for reference in row["references"]),
        boxes=np.array(row["boxes"], np.float32).reshape(-1, 4),
        identities=tuple(row["identities"]),
        split=row["split"],
        source=row["source"],
        licence=row["licence"],
        consent=row["consent"],
    )


def _png(image: Image) -> bytes:
    stream = io.BytesIO()
    Pillow.fromarray(image).save(stream, format="PNG")
    return stream.getvalue()


def _pixels(png: bytes) -> Image:
    with Pillow.open(io.BytesIO(png)) as image:
        return np.array(image.convert("RGB"), np.uint8)


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
