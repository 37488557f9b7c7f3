"""Validation of datasets: every byte, every sample, and what must hold between them."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from umo.data.collect import FORGOTTEN, SPLITS, Place, hashed
from umo.data.rows import Row, decode
from umo.data.schema import VERSION, Sample
from umo.data.shards import Dataset
from umo.data.statistics import Statistics
from umo.errors import DiffersError

UNIT = 1e-3
"""How far the length of an embedding may be from 1."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is wrong, how often, and where it was seen first."""

    kind: str
    count: int
    first: str


def check(folders: Sequence[Place]) -> list[Problem]:
    """Look at every byte and sample of datasets that are used together.

    Args:
        folders: Datasets; no identity may be in two splits of them.

    Returns:
        What is wrong, by kind; nothing if all is well.

    Raises:
        UmoError: A folder is no dataset, or a shard cannot be read at all.
    """
    found: Counter[str] = Counter()
    first: dict[str, str] = {}
    splits: dict[str, tuple[str, str]] = {}
    datasets = [Dataset(folder) for folder in folders]
    deleted = {
        proof["identity"] for dataset in datasets for proof in dataset.manifest.get(FORGOTTEN, [])
    }
    for dataset in datasets:
        for kind, where in _look(dataset, splits, deleted):
            found[kind] += 1
            first.setdefault(kind, where)
    return [Problem(kind=kind, count=found[kind], first=first[kind]) for kind in sorted(found)]


def verify(dataset: Dataset) -> None:
    """Hash every file of a dataset, wherever it lies.

    Raises:
        DiffersError: The bytes of a file are not those that were written.
        UmoError: One cannot be read.
    """
    for name, expected in dataset.manifest["files"].items():
        with dataset.opened(name) as stream:
            measured = hashlib.file_digest(stream, "sha256").hexdigest()
        if measured != expected:
            raise DiffersError(
                f"{dataset.folder}/{name} has sha256 {measured}, its manifest says {expected}",
                hint="make the dataset again",
            )


def _look(
    dataset: Dataset, splits: dict[str, tuple[str, str]], deleted: set[str]
) -> Iterator[tuple[str, str]]:
    """Kinds of problems, and where each is."""
    try:
        verify(dataset)
    except DiffersError as error:
        yield "a changed file", str(error)
        return
    statistics = Statistics()
    keys: set[str] = set()
    for row in dataset.rows():
        statistics.add(row)
        where = f"{row['key']} in {dataset.folder}"
        if row["key"] in keys:
            yield "a key that is there twice", where
        keys.add(row["key"])
        for identity in row["identities"]:
            name, other = splits.setdefault(identity, (row["split"], where))
            if name != row["split"]:
                yield "an identity in two splits", f"{identity}: {other}, {where}"
            if hashed(identity) in deleted:
                yield "an identity that was deleted", where
        yield from ((kind, where) for kind in _problems(row))
    if dataset.version == VERSION and statistics.facts() != dataset.manifest["statistics"]:
        yield "statistics that are not those of the samples", str(dataset.folder)


def _problems(row: Row) -> Iterator[str]:
    for name in ("prompt", "source", "licence", "consent"):
        if not row[name]:
            yield f"no {name}"
    if not row["identities"]:
        yield "nobody in it"
    if row["split"] not in SPLITS:
        yield f"a split that is not one of {', '.join(SPLITS)}"
    try:
        sample = decode(row)
    except (OSError, SyntaxError, ValueError):
        yield "a picture that cannot be read"
        return
    pictures = (sample.target, *sample.references)
    if row["sizes"] != [side for picture in pictures for side in picture.shape[:2]]:
        yield "sizes that are not those of the pictures"
    if not row["people"] == len(sample.identities) == len(sample.references) == len(sample.boxes):
        yield "not one reference, box and identity for each person"
    elif not _inside(sample):
        yield "a face box whose middle is outside the target"
    if sample.embeddings is not None:
        lengths = np.linalg.norm(sample.embeddings, axis=1)
        if (np.abs(lengths - 1) > UNIT).any():
            yield "an embedding whose length is not 1"


def _inside(sample: Sample) -> bool:
    height, width = sample.target.shape[:2]
    boxes: NDArray[np.float32] = sample.boxes
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    upright = (boxes[:, 2:] >= boxes[:, :2]).all()
    return bool(upright and (middles >= 0).all() and (middles <= (width, height)).all())
