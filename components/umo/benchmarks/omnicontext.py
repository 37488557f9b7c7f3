"""OmniContext: eight tasks of one to three references (VectorSpaceLab, Apache-2.0).

A row of the dataset is `key`, `task_type`, `instruction`, `instruction_language` and
`input_images`. Whom the pictures show is not said: the largest face of each input picture is
somebody to recognise, and a picture without one counts for nobody. Three tasks have no people and
are skipped. A model's picture of an item is `fullset/<task_type>/<key>.png` below its folder.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from umo import lineage
from umo.benchmarks.folder import REFERENCES, ensure_benchmark, write_items
from umo.benchmarks.item import TWICE, Benchmark, Failure, Item, Reference, file_name, sound
from umo.errors import NotFoundError, UmoError
from umo.files import sha256
from umo.hub import dataset_folder

NAME = "omnicontext"
WITHOUT_PEOPLE = ("single_object", "multi_object", "scene_object")
PATTERNS = ("*.parquet", "*.arrow")
"""Of the files of a dataset."""
COLUMNS = ("key", "task_type", "instruction", "input_images")
FORMATS = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpg", b"RIFF": "webp"}
"""Suffix by the first bytes of a picture."""


def omnicontext_benchmark(folder: Path, source: str) -> Benchmark:
    """Unpack the pictures of the dataset into `folder`, unless they are there.

    Args:
        folder: Replaced if it holds another benchmark.
        source: Folder with the dataset as parquet files (`hf download`), or as arrow files
            (`datasets` saved it to disk); or `hub:NAME` to download it.

    Raises:
        NotFoundError: There is no such folder, nothing of that name on the hub, or no such file.
        UmoError: A file is damaged, or has other columns.
    """
    dataset = dataset_folder(source, PATTERNS)
    files = sorted(file for pattern in PATTERNS for file in dataset.rglob(pattern))
    if not files:
        raise NotFoundError(
            f"no {' or '.join(PATTERNS)} below {dataset}", hint="name the folder of the dataset"
        )

    def write(staged: Path) -> None:
        (staged / REFERENCES).mkdir()
        failures: list[Failure] = []
        items = list(sound(_items(files, staged), failures, where=NAME))
        facts = {
            "benchmark": NAME,
            "grid": 1,
            "faceless": True,
            "largest": True,
            "failures": [vars(failure) for failure in failures],
            "tasks": dict(Counter(item.group for item in items)),
            "licence": "Apache-2.0",
            "source": "OmniContext (VectorSpaceLab)",
        }
        write_items(staged, items, facts)

    digests = {str(file.relative_to(dataset)): sha256(file) for file in files}
    return ensure_benchmark(folder, lineage.identity({}, data={NAME: NAME, **digests}), write)


def _items(files: list[Path], folder: Path) -> Iterator[tuple[str, Item | str]]:
    keys: set[str] = set()
    for file in files:
        for place, row in enumerate(_rows(file)):
            if row["task_type"] in WITHOUT_PEOPLE:
                continue
            key = str(row["key"] or f"{file.name}#{place}")
            if key in keys:
                yield key, TWICE
                continue
            keys.add(key)
            try:
                yield key, _item(key, row, folder)
            except ValueError as error:
                yield key, str(error)


def _rows(file: Path) -> Iterator[Mapping[str, Any]]:
    try:
        for batch in _batches(file):
            yield from batch.to_pylist()
    except (pa.ArrowException, OSError, KeyError) as error:
        raise UmoError(
            f"{file} is damaged or no OmniContext: {' '.join(str(error).split())}",
            hint=f"download it again; it has the columns {', '.join(COLUMNS)}",
        ) from error


def _batches(file: Path) -> Iterator[pa.RecordBatch]:
    if file.suffix == ".parquet":
        yield from pq.ParquetFile(file).iter_batches(batch_size=8, columns=list(COLUMNS))
        return
    with pa.ipc.open_stream(file) as stream:
        for batch in stream:
            yield batch.select(list(COLUMNS))


def _item(key: str, row: Mapping[str, Any], folder: Path) -> Item:
    task = str(row["task_type"])
    if not row["instruction"] or not row["input_images"]:
        raise ValueError("it has no instruction or no input_images")
    references = []
    for number, picture in enumerate(row["input_images"]):
        encoded = picture["bytes"]
        if not encoded:
            raise ValueError(f"input picture {number} is not in the file")
        suffix = next((s for start, s in FORMATS.items() if encoded.startswith(start)), "img")
        identity = f"{file_name(key)}-{number}"
        name = f"{REFERENCES}/{identity}.{suffix}"
        (folder / name).write_bytes(encoded)
        references.append(Reference(name=name, file=folder / name, identity=identity))
    return Item(
        key=key,
        prompt=str(row["instruction"]),
        group=task,
        references=tuple(references),
        file=f"fullset/{file_name(task)}/{file_name(key)}.png",
    )
