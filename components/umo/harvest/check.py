"""A labelled check set: how well the clusters agree with who people really are."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from umo.errors import NotFoundError, UsageError
from umo.harvest.album import Album, People
from umo.harvest.clusters import pairwise


@dataclass(frozen=True, kw_only=True)
class Check:
    """Agreement of the clusters with the labels."""

    pictures: int
    """Labelled."""
    faces: int
    """Of them, those with exactly one good face; the others say nothing of clusters."""
    people: int
    """Labelled."""
    clusters: int
    """That hold a checked face."""
    precision: float
    """Share of the pairs in one cluster that are one person, 0 to 1."""
    recall: float
    """Share of the pairs of one person that are in one cluster, 0 to 1."""


def read_labels(path: Path) -> dict[str, str]:
    """Who is on a photo, by its name below its source's folder, of a CSV file `name,person`.

    Raises:
        NotFoundError: The file does not exist.
        UsageError: A line has not two values.
    """
    if not path.is_file():
        raise NotFoundError(f"no file of labels at {path}")
    with path.open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.reader(stream) if row]
    for number, row in enumerate(rows, 1):
        if len(row) != 2:
            raise UsageError(f"{path}: line {number} has {len(row)} values, not name,person")
    return dict(rows)


def check(album: Album, people: People, labels: dict[str, str]) -> Check:
    """Compare the clusters with the labels of photos that show one person."""
    owner = album["face.picture"]
    alone = np.bincount(owner, minlength=len(album["picture.file"]))[owner] == 1
    found = [(face, album.name(int(owner[face]))) for face in np.flatnonzero(alone).tolist()]
    checked = [(face, labels[name]) for face, name in found if name in labels]
    faces = np.array([face for face, _ in checked], np.int64)
    clusters = np.unique(people.track[album["face.track"][faces]], return_inverse=True)[1]
    truth = np.unique([person for _, person in checked], return_inverse=True)[1]
    precision, recall = pairwise(clusters, truth)
    return Check(
        pictures=len(labels),
        faces=len(checked),
        people=len(set(labels.values())),
        clusters=len(set(clusters.tolist())),
        precision=precision,
        recall=recall,
    )
