"""Near-duplicates: pictures whose brightness rises and falls at the same places.

The fingerprint is a difference hash: of the picture shrunk to 17 x 16 grey pixels, whether each is
brighter than its right neighbour, 256 bits. It survives scaling and compression; a face that turns
or a camera that moves changes dozens of bits.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from umo.data.schema import Image

SIDE = 16
ROWS, COLUMNS = 64, 1024
"""Fingerprints compared at once."""

Fingerprints = NDArray[np.uint64]
"""`[n,4]`."""


@dataclass(frozen=True, kw_only=True)
class AlikeConfig:
    """When two pictures are one."""

    bits: int = 10
    """Pictures that differ in at most this many of 256 bits are near-duplicates."""

    def __post_init__(self) -> None:
        if not 0 <= self.bits < 64:
            raise ValueError(f"bits is {self.bits}, it must be at least 0 and below 64")


def fingerprint(pixels: Image) -> Fingerprints:
    """The fingerprint `[4]` of a picture."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (SIDE + 1, SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
    bits = np.packbits(small[:, 1:] > small[:, :-1])
    return bits.view(np.uint64)


def apart(one: Fingerprints, others: Fingerprints) -> NDArray[np.int64]:
    """Number of differing bits `[n]` of a fingerprint `[4]` and others `[n,4]`."""
    bits: NDArray[np.int64] = np.bitwise_count(others ^ one).sum(axis=-1, dtype=np.int64)
    return bits


def originals(fingerprints: Fingerprints, bits: int) -> NDArray[np.int64]:
    """For each picture `[n]` the first one, in order, that it is a near-duplicate of; or itself.

    A picture that is dropped makes no others drop, so a slow change of scene is not one picture.
    """
    count = len(fingerprints)
    first = np.arange(count)
    for start in range(0, count, ROWS):
        rows = fingerprints[start : start + ROWS, None]
        near = np.zeros((len(rows), start + len(rows)), bool)
        for left in range(0, near.shape[1], COLUMNS):
            columns = slice(left, min(left + COLUMNS, near.shape[1]))
            differing = np.bitwise_count(rows ^ fingerprints[columns]).sum(axis=-1, dtype=np.int16)
            near[:, columns] = differing <= bits
        for row in np.flatnonzero(near.sum(axis=1) > 1):
            index = start + int(row)
            earlier = np.flatnonzero(near[row, :index])
            kept = earlier[first[earlier] == earlier]
            if len(kept):
                first[index] = kept[0]
    return first
