"""What the face pack sees in pictures, and how near it is to the people asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from umo.bases.protocol import device_of
from umo.data.schema import Image
from umo.evaluation.metrics import Values
from umo.faces.packs import FacePack, detect_float, embed_faces
from umo.pixels import to_float

EMBEDDERS = ("judge", "reward")
"""Both embedders of a pack; the judge is the one that training never saw."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The faces of one picture."""

    boxes: Values
    """`[N,4]`, xyxy pixels."""
    embeddings: Mapping[str, Values]
    """Unit embeddings `[N,D]` by embedder."""

    def only(self, face: int) -> "Seen":
        """Face number `face` alone."""
        return Seen(
            boxes=self.boxes[[face]],
            embeddings={name: rows[[face]] for name, rows in self.embeddings.items()},
        )

    def largest(self) -> "Seen":
        """The face with the largest box alone; there must be one."""
        return self.only(int(np.prod(self.boxes[:, 2:] - self.boxes[:, :2], axis=1).argmax()))


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One picture compared with the references of its item."""

    boxes: Values
    """Face boxes `[N,4]`, xyxy pixels."""
    similarity: Mapping[str, Values]
    """Cosines `[M,N]` of references and faces, by embedder."""


@torch.no_grad()
def see(pack: FacePack, pictures: Sequence[Image]) -> list[Seen]:
    """Find and embed all faces of pictures of one size, in one pass of each network."""
    images = to_float(torch.from_numpy(np.stack(pictures)).to(device_of(pack.judge)))
    faces = detect_float(pack.detector, images)
    judge = embed_faces(images, faces, pack.judge)
    reward = embed_faces(images, faces, pack.reward)
    return [
        Seen(
            boxes=_array(found.boxes),
            embeddings={"judge": _array(by_judge), "reward": _array(by_reward)},
        )
        for found, by_judge, by_reward in zip(faces, judge, reward, strict=True)
    ]


def compare(references: Mapping[str, Values], seen: Seen) -> Measured:
    """Measure one picture.

    Args:
        references: Unit embeddings `[M,D]` of the people asked for, by embedder.
        seen: The faces of the picture.
    """
    return Measured(
        boxes=seen.boxes,
        similarity={name: rows @ seen.embeddings[name].T for name, rows in references.items()},
    )


def overlap(box: NDArray[np.floating], boxes: Values) -> Values:
    """Intersection over union `[N]` of a box `[4]` and boxes `[N,4]`, xyxy."""
    low = np.maximum(box[:2], boxes[:, :2])
    high = np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(box[2:] - box[:2])
    ratio: Values = shared / np.maximum(areas - shared, 1e-9)
    return ratio


def _array(tensor: torch.Tensor) -> Values:
    values: Values = tensor.double().cpu().numpy()
    return values
