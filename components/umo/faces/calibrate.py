"""Calibration of an embedder's cosines on people who do not exist.

Three kinds of pictures are measured: photograph-like pictures of the ten generated people of
openpeople (MIT), the same in grey, and people of our own renderer (identities of the `pretrain`
split). The mean of a kind is that of its people's mean unit features, shrunk towards 0 as far as
it is the chance of who was measured: ten people are few. What an embedder subtracts is the mean of
the first kind; what it removes besides are the directions in which the means of the other kinds
lie, so that each kind is centred at 0.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from umo.data.render import RenderConfig, render_samples
from umo.faces.detect import FaceDetector
from umo.faces.embed import FaceEmbedder, centre

LONG_SIDE = 1024
"""Pictures of openpeople are shrunk to this long side, pixels."""
SMALLEST_FACE = 48
"""Smaller faces are left out, pixels."""
RENDERED = RenderConfig(split="pretrain", samples=100, people={2: 1.0}, seed=0)
"""The rendered people; each has a reference and a face in a scene."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """A picture of one person, in which the faces were found."""

    name: str
    """Who it is."""
    image: Tensor
    """`[3,H,W]` uint8."""
    landmarks: Tensor
    """`[n,5,2]` xy pixels; sheets show one person many times."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What calibration leaves on one kind of pictures."""

    faces: int
    """Faces measured."""
    same: float
    """Mean calibrated cosine between two pictures of one person."""
    different: float
    """Mean calibrated cosine between people."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What an embedder subtracts and removes, and what that leaves."""

    mean: Tensor
    """`[D]`."""
    directions: Tensor
    """`[k,D]`, orthonormal."""
    kinds: dict[str, Kind]
    """By kind of picture."""

    def tensors(self) -> dict[str, Tensor]:
        """What is stored with the embedder."""
        return {"mean": self.mean, "directions": self.directions}

    def facts(self) -> dict[str, dict[str, float]]:
        """What stands in the manifest."""
        return {name: asdict(kind) for name, kind in self.kinds.items()}


def calibrate(
    embedder: FaceEmbedder, photographs: Sequence[Person], rendered: Sequence[Person]
) -> Calibration:
    """Measure what `embedder` must subtract and remove."""
    measured = {
        "photograph": _features(embedder, photographs),
        "grey photograph": _features(embedder, photographs, grey=True),
        "rendered": _features(embedder, rendered),
    }
    mean, *others = [shrunk_mean(rows, person) for rows, person in measured.values()]
    basis, _ = torch.linalg.qr(torch.stack([other - mean for other in others], dim=1))
    directions = basis.T.contiguous()
    left = {
        name: _left(centre(rows, mean, directions), person)
        for name, (rows, person) in measured.items()
    }
    return Calibration(mean=mean, directions=directions, kinds=left)


def find_photographs(detector: FaceDetector, people: Path) -> list[Person]:
    """The faces of openpeople, in its folder of `<person>/assets/*.jpg`."""
    found = []
    for person in sorted(path for path in people.iterdir() if path.is_dir()):
        for path in sorted(person.glob("assets/*.jpg")):
            with Image.open(path) as picture:
                picture.thumbnail((LONG_SIDE, LONG_SIDE))
                found.append(_find(detector, person.name, np.array(picture.convert("RGB"))))
    return found


def find_rendered(detector: FaceDetector) -> list[Person]:
    """The faces of rendered people: each one's reference and place in a scene."""
    found = []
    for sample in render_samples(RENDERED):
        tile = sample.target.shape[1] // len(sample.identities)
        for index, name in enumerate(sample.identities):
            place = sample.target[:, tile * index : tile * (index + 1)]
            found += [_find(detector, name, image) for image in (sample.references[index], place)]
    return found


def _find(detector: FaceDetector, name: str, pixels: NDArray[np.uint8]) -> Person:
    image = torch.from_numpy(pixels.copy())
    (faces,) = detector.detect(image[None])
    large = (faces.boxes[:, 2:] - faces.boxes[:, :2]).amax(dim=1) >= SMALLEST_FACE
    return Person(name=name, image=image.permute(2, 0, 1), landmarks=faces.landmarks[large])


@torch.no_grad()
def _features(
    embedder: FaceEmbedder, people: Sequence[Person], *, grey: bool = False
) -> tuple[Tensor, Tensor]:
    names = sorted({person.name for person in people})
    features, owner = [], []
    for person in people:
        if count := len(person.landmarks):
            image = person.image[None].float() / 127.5 - 1
            index = torch.zeros(count, dtype=torch.long)
            crops = embedder.crops(image, person.landmarks, index)
            crops = crops.mean(dim=1, keepdim=True).expand_as(crops) if grey else crops
            features.append(embedder.features(crops))
            owner += [names.index(person.name)] * count
    return torch.cat(features), torch.tensor(owner)


def shrunk_mean(features: Tensor, person: Tensor) -> Tensor:
    """Mean over people, times `sum(p_i . p_j, i != j) / (n (n - 1)) / |mean|^2`.

    The factor's numerator is the squared length of the true mean, estimated without bias; that of
    the measured mean is longer by the spread of people over their number (James and Stein 1961).
    """
    people = torch.stack([features[person == index].mean(dim=0) for index in person.unique()])
    mean, count = people.mean(dim=0), len(people)
    products = (people @ people.T).fill_diagonal_(0).sum() / (count * (count - 1))
    return mean * (products / mean.square().sum()).clamp(0, 1)


def _left(embeddings: Tensor, person: Tensor) -> Kind:
    cosines = embeddings @ embeddings.T
    alike = person[:, None] == person
    same = alike & ~torch.eye(len(person), dtype=torch.bool)
    return Kind(
        faces=len(person),
        same=round(float(cosines[same].mean()), 4),
        different=round(float(cosines[~alike].mean()), 4),
    )
