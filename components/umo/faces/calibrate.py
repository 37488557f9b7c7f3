"""Calibration of an embedder's cosines on people who do not exist.

The mean of an embedder is measured on openpeople (MIT), ten generated people with about twenty
photograph-like faces each: the mean over people of each person's mean unit feature.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from umo.faces.align import align
from umo.faces.detect import FaceDetector
from umo.faces.embed import FaceEmbedder, centre

LONG_SIDE = 1024
"""Pictures are shrunk to this long side, pixels."""
SMALLEST_FACE = 48
"""Smaller faces are left out, pixels."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What an embedder subtracts, and what it leaves on the people it was measured on."""

    mean: Tensor
    """`[D]`."""
    directions: Tensor
    """`[k,D]`, orthonormal."""
    faces: int
    """Faces it was measured on."""
    same: float
    """Mean calibrated cosine between pictures of one person."""
    different: float
    """Mean calibrated cosine between people."""

    def tensors(self) -> dict[str, Tensor]:
        """What is stored with the embedder."""
        return {"mean": self.mean, "directions": self.directions}

    def facts(self) -> dict[str, float]:
        """What stands in the manifest."""
        return {
            "faces": self.faces,
            "same": round(self.same, 4),
            "different": round(self.different, 4),
        }


def calibrate(detector: FaceDetector, embedder: FaceEmbedder, people: Path) -> Calibration:
    """Measure what `embedder` must subtract on the pictures in `people/<person>/assets`."""
    features, owner = [], []
    for index, person in enumerate(sorted(path for path in people.iterdir() if path.is_dir())):
        for path in sorted(person.glob("assets/*.jpg")):
            crops = _crops(detector, embedder, path)
            with torch.no_grad():
                features.append(embedder.features(crops))
            owner += [index] * len(crops)
    rows, person_of = torch.cat(features), torch.tensor(owner)
    means = torch.stack([rows[person_of == index].mean(dim=0) for index in person_of.unique()])
    mean = means.mean(dim=0)
    directions = mean.new_zeros(0, len(mean))
    cosines = centre(rows, mean, directions) @ centre(rows, mean, directions).T
    alike = person_of[:, None] == person_of
    itself = torch.eye(len(rows), dtype=torch.bool)
    return Calibration(
        mean=mean,
        directions=directions,
        faces=len(rows),
        same=float(cosines[alike & ~itself].mean()),
        different=float(cosines[~alike].mean()),
    )


def _crops(detector: FaceDetector, embedder: FaceEmbedder, path: Path) -> Tensor:
    with Image.open(path) as picture:
        picture.thumbnail((LONG_SIDE, LONG_SIDE))
        pixels = torch.from_numpy(np.array(picture.convert("RGB")))
    (faces,) = detector.detect(pixels[None])
    large = (faces.boxes[:, 2:] - faces.boxes[:, :2]).amin(dim=1) >= SMALLEST_FACE
    landmarks = faces.landmarks[large]
    images = pixels.permute(2, 0, 1)[None].float() / 127.5 - 1
    owner = torch.zeros(len(landmarks), dtype=torch.long)
    return align(images, landmarks, owner, embedder.template, embedder.size)
