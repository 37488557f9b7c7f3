"""Faces found in pictures."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Faces:
    """The faces of one picture, best first."""

    boxes: Tensor
    """`[n,4]`, xyxy pixels."""
    landmarks: Tensor
    """`[n,5,2]` xy pixels: left eye, right eye, nose, left and right mouth corner (as seen)."""
    scores: Tensor
    """`[n]`, 0 to 1."""

    def __len__(self) -> int:
        return self.boxes.shape[0]


class FaceDetector(Protocol):
    """Finds faces; never part of a gradient."""

    def detect(self, images: Tensor) -> list[Faces]:
        """Faces of each picture of a batch, uint8 `[B,H,W,3]` RGB."""
