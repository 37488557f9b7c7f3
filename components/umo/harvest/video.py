"""Videos: sampled frames and the shots between cuts.

A cut is where the colours of two consecutive sampled frames differ: the Bhattacharyya distance
`sqrt(1 - sum sqrt(p q))` of their Lab histograms of 8 x 8 x 8 bins. A pan keeps most of the colours
and stays one shot. A cut that is missed joins two shots, which only means that a reference is never
taken from either for the other.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from umo.data.schema import Image
from umo.harvest.alike import Fingerprints, apart, fingerprint
from umo.harvest.read import ReadConfig, Reason, RefusedError, check_file, shrink

BINS = 8
USUAL_RATE = 25.0
"""Frames a second where the file does not say."""
LARGEST_VIDEO = 2**42

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
# What FFmpeg and OpenCV say of damaged files is counted here by reason; read at the first use.


@dataclass(frozen=True, kw_only=True)
class VideoConfig:
    """How videos are read."""

    every: float = 0.5
    """Seconds between sampled frames."""
    cut: float = 0.4
    """Bhattacharyya distance of the colours of two sampled frames that makes a cut, 0 to 1."""

    def __post_init__(self) -> None:
        if self.every <= 0:
            raise ValueError(f"every is {self.every}, it must be above 0")
        if not 0 < self.cut <= 1:
            raise ValueError(f"cut is {self.cut}, it must be above 0 and at most 1")


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A sampled frame."""

    pixels: Image
    seconds: float
    """Since the beginning."""
    shot: int
    """Number of cuts before it."""
    change: float
    """Distance of its colours from those of the frame sampled before, 0 to 1."""
    print: Fingerprints
    duplicate: bool
    """Whether it is a near-duplicate of the last frame of its shot that is none."""


class Video:
    """A video file, read once from its beginning to its end.

    Args:
        path: The file.
        config: How often and what a cut is.
        read: The size of pictures.
        bits: Of the fingerprint of near-duplicates.

    Raises:
        RefusedError: It gives no frames.
    """

    def __init__(self, path: Path, config: VideoConfig, read: ReadConfig, bits: int) -> None:
        check_file(path, LARGEST_VIDEO)
        self.path, self.config, self.read, self.bits = path, config, read, bits
        self.cut_short = False
        """Whether the file ended before the number of frames that it names; known at the end."""

    def frames(self) -> Iterator[Frame]:
        """The sampled frames in order.

        Raises:
            RefusedError: The file gives none.
        """
        capture = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG)
        try:
            if not capture.isOpened():
                raise RefusedError(Reason.OTHER)
            yield from self._sampled(capture)
        finally:
            capture.release()

    def sha256(self) -> str:
        """Of the file."""
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def _sampled(self, capture: cv2.VideoCapture) -> Iterator[Frame]:
        rate = capture.get(cv2.CAP_PROP_FPS)
        rate = rate if 0 < rate <= 1000 else USUAL_RATE
        step = max(1, round(rate * self.config.every))
        number, shot = 0, 0
        colours: NDArray[np.float32] | None = None
        kept: Fingerprints | None = None
        while capture.grab():
            if number % step == 0:
                good, frame = capture.retrieve()
                if good:
                    pixels = shrink(_rgb(frame), self.read.side)
                    before, colours = colours, histogram(pixels)
                    change = 0.0 if before is None else distance(before, colours)
                    if change > self.config.cut:
                        shot, kept = shot + 1, None
                    mark = fingerprint(pixels)
                    duplicate = kept is not None and int(apart(mark, kept)) <= self.bits
                    kept = kept if duplicate else mark
                    yield Frame(
                        pixels=pixels,
                        seconds=number / rate,
                        shot=shot,
                        change=change,
                        print=mark,
                        duplicate=duplicate,
                    )
            number += 1
        if colours is None:
            raise RefusedError(Reason.BROKEN)
        self.cut_short = number < 0.95 * capture.get(cv2.CAP_PROP_FRAME_COUNT)


def histogram(pixels: Image) -> NDArray[np.float32]:
    """Shares of the colours of a picture, Lab in 8 x 8 x 8 bins `[512]`."""
    small = cv2.resize(pixels, (64, 64), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.int64) * BINS // 256
    counts = np.bincount((lab[:, 0] * BINS + lab[:, 1]) * BINS + lab[:, 2], minlength=BINS**3)
    shares: NDArray[np.float32] = (counts / counts.sum()).astype(np.float32)
    return shares


def distance(p: NDArray[np.float32], q: NDArray[np.float32]) -> float:
    """Bhattacharyya distance of two histograms, 0 to 1."""
    return float(np.sqrt(max(0.0, 1.0 - float(np.sqrt(p * q).sum()))))


def _rgb(frame: Any) -> Image:
    pixels: Image = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
    return pixels
