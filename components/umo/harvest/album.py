"""The album: what all units found, as columns of numbers, and who the people are.

Of each good face about 100 bytes are in memory; the vectors of the tracks are in a file that is
mapped, and pictures stay in the units' files.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umo import config as settings
from umo.data.schema import Image
from umo.errors import DiffersError
from umo.harvest.alike import AlikeConfig, originals
from umo.harvest.clusters import ClusterConfig, cluster
from umo.harvest.quality import Values
from umo.harvest.read import ReadConfig, RefusedError, read_picture
from umo.harvest.sources import Listing, Source
from umo.harvest.units import Worked

Rows = NDArray[np.int64]
FACE_COLUMNS = ("picture", "box", "landmarks", "pose", "grade", "track")
PICTURE_COLUMNS = ("file", "shot", "seconds", "print", "size", "strangers")
VECTORS = "tracks.f32"


@dataclass(frozen=True, kw_only=True)
class Totals:
    """What was counted in all units."""

    refused: dict[str, int]
    """Files that gave no picture, by reason."""
    mends: dict[str, int]
    """What was put right, by kind."""
    counts: dict[str, int]
    """`files`, `pictures` (photos and sampled frames) and `faces`."""
    rejected: dict[str, int]
    """Faces by reason, pictures without any, and frames like the one before."""
    histograms: dict[str, Rows]


class Album:
    """The good faces of a finished set of units.

    Args:
        listing: The sources' units.
        paths: Of the units' files, in order.
        folder: Gets the file of the tracks' vectors.

    Raises:
        UmoError: A unit's file is not there or is damaged.
    """

    def __init__(self, listing: Listing, paths: Sequence[Path], folder: Path) -> None:
        self.listing, self.paths = listing, paths
        columns: dict[str, list[NDArray[Any]]] = defaultdict(list)
        refused: Counter[str] = Counter()
        mends: Counter[str] = Counter()
        counts: Counter[str] = Counter()
        rejected: Counter[str] = Counter()
        histograms: dict[str, Rows] = {}
        digests = []
        pictures = tracks = clips = 0
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / VECTORS).open("wb") as vectors:
            for number, path in enumerate(paths):
                unit = Worked(path)
                facts = unit.facts
                refused.update({reason: len(names) for reason, names in facts["refused"].items()})
                for counter, name in ((mends, "mends"), (counts, "counts"), (rejected, "rejected")):
                    counter.update(facts[name])
                digests.append(settings.digest(facts["digests"]))
                for name in (name for name in unit.names if name.startswith("histogram.")):
                    key = name.removeprefix("histogram.")
                    histograms[key] = histograms.get(key, 0) + unit[name]
                for name in PICTURE_COLUMNS:
                    columns[f"picture.{name}"].append(unit[f"picture.{name}"])
                for name in FACE_COLUMNS:
                    columns[f"face.{name}"].append(unit[f"face.{name}"])
                columns["face.picture"][-1] = columns["face.picture"][-1] + pictures
                columns["face.track"][-1] = columns["face.track"][-1] + tracks
                spots = np.stack([unit["picture.file"], unit["picture.shot"]], axis=1)
                different, inside = np.unique(spots, axis=0, return_inverse=True)
                columns["picture.clip"].append(inside.reshape(-1) + clips)
                columns["picture.unit"].append(np.full(len(spots), number))
                columns["picture.row"].append(np.arange(len(spots)))
                columns["face.row"].append(np.arange(len(unit["face.grade"])))
                means = _track_means(unit)
                vectors.write(means.tobytes())
                pictures, tracks = pictures + len(spots), tracks + len(means)
                clips += len(different)
                dim = means.shape[1]
        self.columns = {name: np.concatenate(parts) for name, parts in columns.items()}
        self.tracks = tracks
        self.vectors: Values = (
            np.memmap(folder / VECTORS, np.float32, "r", shape=(tracks, dim))
            if tracks
            else np.zeros((0, 1), np.float32)
        )
        self.content = settings.digest(digests)
        """sha256 over the sha256 of every file that gave a picture, by name."""
        self.totals = Totals(
            refused=dict(refused),
            mends=dict(+mends),
            counts={"files": listing.files, **counts},
            rejected=dict(+rejected),
            histograms=histograms,
        )

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column: `picture.<name>` or `face.<name>`."""
        return self.columns[name]

    @cached_property
    def clip(self) -> Rows:
        """The clip of each face `[F]`: a photo, or a shot of a video."""
        clips: Rows = self["picture.clip"][self["face.picture"]]
        return clips

    @cached_property
    def track_clip(self) -> Rows:
        """The clip of each track `[T]`."""
        clips = np.zeros(self.tracks, np.int64)
        clips[self["face.track"]] = self.clip
        return clips

    def source(self, picture: int) -> Source:
        """Where a picture comes from."""
        unit = self.listing.units[int(self["picture.unit"][picture])]
        return self.listing.sources[unit.source]

    def name(self, picture: int) -> str:
        """A picture's name: its file below the source's folder, with the second of a video."""
        unit = self.listing.units[self["picture.unit"][picture]]
        file = unit.files[self["picture.file"][picture]]
        seconds = float(self["picture.seconds"][picture])
        return file if unit.kind == "photos" else f"{file}@{seconds:.2f}s"

    def pixels(self, picture: int, read: ReadConfig) -> Image:
        """A picture with two or more good faces.

        Raises:
            DiffersError: The photo is no longer the file that was read.
        """
        unit = self.listing.units[self["picture.unit"][picture]]
        worked = self.unit(unit.number)
        if unit.kind == "videos":
            return worked.image(f"frame.{self['picture.row'][picture]}")
        name = unit.files[self["picture.file"][picture]]
        expected = worked.facts["digests"][name]
        try:
            found = read_picture(unit.folder / name, read)
        except RefusedError as refusal:
            raise DiffersError(
                f"{unit.folder / name} could be read before and gives now: {refusal}",
                hint="start the harvest again",
            ) from None
        if found.sha256 != expected:
            raise DiffersError(
                f"{unit.folder / name} has sha256 {found.sha256}, it had {expected} when it was "
                "looked at",
                hint="start the harvest again",
            )
        return found.pixels

    def crop(self, face: int) -> Image:
        """A good face with its surroundings."""
        unit = int(self["picture.unit"][self["face.picture"][face]])
        return self.unit(unit).image(f"crop.{self['face.row'][face]}")

    def unit(self, number: int) -> Worked:
        """A unit's file."""
        return Worked(self.paths[number])


@dataclass(frozen=True, kw_only=True)
class People:
    """Who is on the pictures of an album."""

    track: Rows
    """The cluster of each track `[T]`."""
    face: Rows
    """The person of each good face `[F]`; -1 for one who is not known from enough clips."""
    original: Rows
    """Of each picture `[P]` the first one that it is a near-duplicate of, or itself."""

    @property
    def known(self) -> list[int]:
        """The people who are known from enough clips."""
        return [int(person) for person in np.unique(self.face) if person >= 0]


def identify(album: Album, clusters: ClusterConfig, alike: AlikeConfig) -> People:
    """Find out who is who; faces of near-duplicate pictures do not count as other clips."""
    track = cluster(album.vectors, clusters.same)
    original = originals(album["picture.print"], alike.bits)
    unique = original[album["face.picture"]] == album["face.picture"]
    person = track[album["face.track"]]
    pairs = np.unique(np.stack([person, album.clip], axis=1)[unique], axis=0)
    clips = np.bincount(pairs[:, 0], minlength=track.max(initial=-1) + 1)
    face = np.where(clips[person] >= clusters.clips, person, -1)
    return People(track=track, face=face, original=original)


def _track_means(unit: Worked) -> Values:
    """Unit mean embedding `[T,D]` of each track, weighted by the faces' grades."""
    track, embeddings = unit["face.track"], unit["face.embedding"]
    means = np.zeros((track.max(initial=-1) + 1, embeddings.shape[1]), np.float32)
    np.add.at(means, track, embeddings * np.maximum(unit["face.grade"], 1e-3)[:, None])
    unit_means: Values = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
    return unit_means
