"""A unit of work: its files read, its faces found and followed, and all that kept in one file.

The file holds the pictures of people and their embeddings: it is biometric data, and goes when the
harvest is done. It is written whole or not at all, and its bytes depend on the unit and the
settings only, so that any process may work on any unit, at any time, again.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from umo.data.schema import Image
from umo.errors import UmoError
from umo.faces.packs import FacePack
from umo.files import atomic_path
from umo.harvest.alike import AlikeConfig, Fingerprints, fingerprint
from umo.harvest.crops import crop, decode, encode
from umo.harvest.look import Clock, LookConfig, Looked, ahead, look
from umo.harvest.quality import RULES, QualityConfig, grade
from umo.harvest.read import Mend, ReadConfig, RefusedError, read_picture
from umo.harvest.sources import Unit
from umo.harvest.tracks import TrackConfig, link
from umo.harvest.video import Video, VideoConfig

BINS = 40
"""Of each histogram."""
EXAMPLES = 2
"""Rejected faces of each reason that a unit keeps for the report."""
EXAMPLE_SIDE = 96
ENDS = {rule.measure: rule.ends for rule in RULES}
"""Of the histogram of each measure of a face."""
CUT = "cut"
"""The histogram of the change of colours between sampled frames, 0 to 1."""
NO_FACE = "no face"
STILL = "near-duplicate frame"


@dataclass(frozen=True, kw_only=True)
class UnitConfig:
    """Everything that a unit's file depends on."""

    read: ReadConfig = field(default_factory=ReadConfig)
    video: VideoConfig = field(default_factory=VideoConfig)
    alike: AlikeConfig = field(default_factory=AlikeConfig)
    look: LookConfig = field(default_factory=LookConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    tracks: TrackConfig = field(default_factory=TrackConfig)
    block: int = 64
    """Photos in a unit."""
    margin: float = 0.6
    """Of a reference: room around the face's box on each side, in parts of its longer side."""
    reference: int = 256
    """Side of a reference, pixels."""

    def __post_init__(self) -> None:
        if self.block < 1:
            raise ValueError(f"block is {self.block}, it must be at least 1")
        if self.reference < 64 or self.margin < 0:
            raise ValueError(
                f"reference {self.reference} must be at least 64, margin {self.margin} at least 0"
            )


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A picture of a unit, still to be looked at."""

    pixels: Image
    file: int
    shot: int
    seconds: float
    print: Fingerprints


class Writer:
    """Collects what one unit gives.

    Args:
        unit: The unit.
        config: Its settings.
    """

    def __init__(self, unit: Unit, config: UnitConfig) -> None:
        self.unit, self.config = unit, config
        self.columns: dict[str, list[Any]] = defaultdict(list)
        self.encoded: dict[str, NDArray[np.uint8]] = {}
        self.refused: dict[str, list[str]] = defaultdict(list)
        self.mends: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = defaultdict(list)
        self.digests: dict[str, str] = {}
        self.histograms = {name: np.zeros(BINS, np.int64) for name in (*ENDS, CUT)}

    def shown(self, clock: Clock) -> Iterator[Shown]:
        """The pictures of the unit; files that give none are counted."""
        for number, name in enumerate(self.unit.files):
            try:
                if self.unit.kind == "photos":
                    with clock.part("decode"):
                        yield self._photo(number, name)
                else:
                    yield from self._video(number, name, clock)
            except RefusedError as refusal:
                self.refused[refusal.reason].append(name)

    def add(self, shown: Shown, looked: Looked) -> None:
        """Take in the faces of a picture."""
        self.counts["faces"] += len(looked.reasons)
        certain = looked.measures.score >= self.config.quality.score
        for name, ends in ENDS.items():
            self.histograms[name] += _bins(np.abs(getattr(looked.measures, name)), ends)
        for face, reason in enumerate(looked.reasons):
            if reason:
                self.rejected[reason] += 1
                self._example(reason, shown.pixels, looked.boxes[face])
        good = looked.good
        if not len(good):
            self.rejected[NO_FACE] += not len(looked.reasons)
            return
        picture = len(self.columns["picture.file"])
        height, width = shown.pixels.shape[:2]
        self._row(
            "picture",
            file=shown.file,
            shot=shown.shot,
            seconds=shown.seconds,
            print=shown.print,
            size=(height, width),
            strangers=int(certain.sum()) - len(good),
        )
        measures = looked.measures
        grades = grade(measures)
        pose = np.stack([measures.yaw, measures.pitch, measures.roll, measures.mouth], axis=1)
        for row, face in enumerate(good):
            number = len(self.columns["face.picture"])
            self.encoded[f"crop.{number}"] = encode(
                crop(shown.pixels, looked.boxes[face], self.config.margin, self.config.reference)
            )
            self._row(
                "face",
                picture=picture,
                box=looked.boxes[face],
                landmarks=looked.landmarks[face],
                pose=pose[face],
                grade=grades[face],
                embedding=looked.embeddings[row],
            )
        if self.unit.kind == "videos" and len(good) > 1:
            self.encoded[f"frame.{picture}"] = encode(shown.pixels)

    def save(self, path: Path, dim: int) -> None:
        """Follow the faces and write the unit's file.

        Args:
            path: Its file.
            dim: Length of an embedding.
        """
        pictures = {
            "picture.file": self._column("picture.file", np.int32, ()),
            "picture.shot": self._column("picture.shot", np.int32, ()),
            "picture.seconds": self._column("picture.seconds", np.float32, ()),
            "picture.print": self._column("picture.print", np.uint64, (4,)),
            "picture.size": self._column("picture.size", np.int32, (2,)),
            "picture.strangers": self._column("picture.strangers", np.int32, ()),
        }
        faces = {
            "face.picture": self._column("face.picture", np.int32, ()),
            "face.box": self._column("face.box", np.float32, (4,)),
            "face.landmarks": self._column("face.landmarks", np.float32, (5, 2)),
            "face.pose": self._column("face.pose", np.float32, (4,)),
            "face.grade": self._column("face.grade", np.float32, ()),
            "face.embedding": self._column("face.embedding", np.float32, (dim,)),
        }
        faces["face.track"] = self._tracks(pictures, faces).astype(np.int32)
        facts = {
            "refused": self.refused,
            "mends": self.mends,
            "counts": self.counts,
            "rejected": self.rejected,
            "examples": self.examples,
            "digests": self.digests,
        }
        histograms = {f"histogram.{name}": counts for name, counts in self.histograms.items()}
        with atomic_path(path) as staged:
            save_file(
                {**pictures, **faces, **histograms, **self.encoded},
                staged,
                metadata={"facts": json.dumps(facts, sort_keys=True)},
            )

    def _photo(self, number: int, name: str) -> Shown:
        picture = read_picture(self.unit.folder / name, self.config.read)
        self.mends.update(picture.mends)
        self.digests[name] = picture.sha256
        self.counts["pictures"] += 1
        mark = fingerprint(picture.pixels)
        return Shown(pixels=picture.pixels, file=number, shot=0, seconds=0.0, print=mark)

    def _video(self, number: int, name: str, clock: Clock) -> Iterator[Shown]:
        config = self.config
        video = Video(self.unit.folder / name, config.video, config.read, config.alike.bits)
        frames = video.frames()
        while True:
            with clock.part("decode"):
                frame = next(frames, None)
            if frame is None:
                break
            self.counts["pictures"] += 1
            self.histograms[CUT] += _bins(np.array([frame.change]), (0.0, 1.0))
            if frame.duplicate:
                self.rejected[STILL] += 1
                continue
            yield Shown(
                pixels=frame.pixels,
                file=number,
                shot=frame.shot,
                seconds=frame.seconds,
                print=frame.print,
            )
        self.digests[name] = video.sha256()
        self.mends[Mend.CUT_SHORT] += video.cut_short

    def _row(self, table: str, **values: Any) -> None:
        for name, value in values.items():
            self.columns[f"{table}.{name}"].append(value)

    def _column(self, name: str, kind: Any, shape: tuple[int, ...]) -> NDArray[Any]:
        return np.array(self.columns[name], kind).reshape(-1, *shape)

    def _tracks(
        self, pictures: dict[str, NDArray[Any]], faces: dict[str, NDArray[Any]]
    ) -> NDArray[np.int64]:
        owner = faces["face.picture"]
        if self.unit.kind == "photos":
            return np.arange(len(owner))
        tracks = np.zeros(len(owner), np.int64)
        shots = pictures["picture.shot"][owner]
        every = self.config.video.every
        frames = np.rint(pictures["picture.seconds"][owner] / every).astype(np.int64)
        total = 0
        for shot in np.unique(shots):
            rows = np.flatnonzero(shots == shot)
            boxes, embeddings = faces["face.box"][rows], faces["face.embedding"][rows]
            tracks[rows] = total + link(frames[rows], boxes, embeddings, self.config.tracks)
            total = int(tracks[rows].max()) + 1
        return tracks

    def _example(self, reason: str, pixels: Image, box: NDArray[np.float32]) -> None:
        names = self.examples[reason]
        if len(names) < EXAMPLES:
            names.append(f"example.{sum(map(len, self.examples.values()))}")
            self.encoded[names[-1]] = encode(crop(pixels, box, 0.5, EXAMPLE_SIDE))


def work(unit: Unit, config: UnitConfig, pack: FacePack, path: Path, clock: Clock) -> None:
    """Do a unit and write its file."""
    writer = Writer(unit, config)
    batch = config.look.batch
    shown = ahead(writer.shown(clock), batch)
    while pictures := list(islice(shown, batch)):
        pixels = [picture.pixels for picture in pictures]
        looked = look(pack, pixels, config.look, config.quality, clock)
        with clock.part("keep"):
            for picture, faces in zip(pictures, looked, strict=True):
                writer.add(picture, faces)
    with clock.part("keep"):
        writer.save(path, pack.reward.dim)


class Worked:
    """A unit's file.

    Args:
        path: The file.

    Raises:
        UmoError: It is not there or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file: Any = safe_open(path, framework="numpy")
            self.facts: dict[str, Any] = json.loads(self._file.metadata()["facts"])
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise UmoError(
                f"{path} is damaged: {error}", hint="delete it and harvest again"
            ) from error

    def __getitem__(self, name: str) -> NDArray[Any]:
        values: NDArray[Any] = self._file.get_tensor(name)
        return values

    def image(self, name: str) -> Image:
        """The picture `crop.<face>`, `frame.<picture>` or `example.<n>`."""
        return decode(self[name])

    @cached_property
    def names(self) -> frozenset[str]:
        """Of everything in it."""
        return frozenset(self._file.keys())


def is_worked(path: Path) -> bool:
    """Whether a unit's file is there and can be read."""
    with suppress(UmoError):
        return bool(Worked(path).facts)
    return False


def _bins(values: NDArray[np.floating], ends: tuple[float, float]) -> NDArray[np.int64]:
    share = (np.clip(values, *ends) - ends[0]) / (ends[1] - ends[0])
    return np.bincount(np.minimum((share * BINS).astype(int), BINS - 1), minlength=BINS)
