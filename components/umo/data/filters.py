"""Filters between what makes samples and the shards."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from umo.data.schema import Image, Sample
from umo.faces.detect import FaceDetector
from umo.faces.packs import FacePack, detect_float, embed_faces
from umo.pixels import to_float

Array = NDArray[np.float32]

CHUNK = 16
"""Samples whose faces are found and embedded together."""


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """When the people of a target are those of its references, in cosines."""

    judge: float = 0.5
    """Least cosine of each person and their reference by the judge of the face pack."""
    reward: float = 0.5
    """The same by the embedder that rewards; both must agree."""
    stranger: float = 0.5
    """Most cosine, by the judge, of a person and another one's reference."""
    bystanders: bool = False
    """Whether there may be more faces in the target than people asked for."""

    def __post_init__(self) -> None:
        for name in ("judge", "reward", "stranger"):
            if not -1 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, a cosine is from -1 to 1")


def with_faces(
    samples: Iterable[Sample], detector: FaceDetector, rejected: Callable[[str], None]
) -> Iterator[Sample]:
    """Samples whose every reference has one face and whose target has one for each person.

    Args:
        samples: Any samples; the references of one sample have one size.
        detector: Finds the faces.
        rejected: Called with the key of each sample that does not pass.
    """
    for sample in samples:
        references = torch.from_numpy(np.stack(sample.references))
        alone = all(len(faces) == 1 for faces in detector.detect(references))
        (together,) = detector.detect(torch.from_numpy(sample.target[None]))
        if alone and len(together) == len(sample.references):
            yield sample
        else:
            rejected(sample.key)


def recognised(
    samples: Iterable[Sample],
    pack: FacePack,
    likeness: Likeness,
    rejected: Callable[[str, str], None],
) -> Iterator[Sample]:
    """Samples whose target shows the people of the references, by both embedders of a pack.

    Faces and references are matched so that the sum of their cosines by both is greatest. What
    passes gets the boxes, landmarks and judge's embeddings of the matched faces, and for quality
    the least of the judge's cosines of a person and their reference.

    Args:
        samples: Any samples, in order; what they say of faces is not looked at.
        pack: Detector and both embedders.
        likeness: What is asked.
        rejected: Called with the key of each sample that does not pass, and the reason.
    """
    source = iter(samples)
    while chunk := list(itertools.islice(source, CHUNK)):
        seen = iter(_see(pack, [p for s in chunk for p in (s.target, *s.references)]))
        for sample in chunk:
            target, *references = itertools.islice(seen, 1 + len(sample.references))
            found = _recognise(sample, target, references, likeness)
            if isinstance(found, Sample):
                yield found
            else:
                rejected(sample.key, found)


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """The faces of a picture, `n` of them."""

    boxes: Array
    landmarks: Array
    judge: Array
    reward: Array


@torch.no_grad()
def _see(pack: FacePack, pictures: Sequence[Image]) -> list[_Seen]:
    """Find and embed all faces, those of pictures of one size in one pass of each network."""
    by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, picture in enumerate(pictures):
        by_shape[picture.shape].append(index)
    seen: dict[int, _Seen] = {}
    for indices in by_shape.values():
        images = to_float(torch.from_numpy(np.stack([pictures[index] for index in indices])))
        images = images.to(pack.judge.mean.device)
        faces = detect_float(pack.detector, images)
        judged, rewarded = (embed_faces(images, faces, e) for e in (pack.judge, pack.reward))
        for index, found, judge, reward in zip(indices, faces, judged, rewarded, strict=True):
            seen[index] = _Seen(
                boxes=found.boxes.float().cpu().numpy(),
                landmarks=found.landmarks.float().cpu().numpy(),
                judge=judge.float().cpu().numpy(),
                reward=reward.float().cpu().numpy(),
            )
    return [seen[index] for index in range(len(pictures))]


def _recognise(
    sample: Sample, target: _Seen, references: Sequence[_Seen], likeness: Likeness
) -> Sample | str:
    """The sample with its faces, or why it is rejected."""
    if any(len(seen.boxes) != 1 for seen in references):
        return "a reference without exactly one face"
    if len(target.boxes) < len(references):
        return "a person is missing in the target"
    if len(target.boxes) > len(references) and not likeness.bystanders:
        return "a face too many in the target"
    judge = np.concatenate([seen.judge for seen in references]) @ target.judge.T
    reward = np.concatenate([seen.reward for seen in references]) @ target.reward.T
    people, faces = linear_sum_assignment(-(judge + reward))
    own = judge[people, faces]
    if own.min() < likeness.judge:
        return "a person is unlike the reference, says the judge"
    if reward[people, faces].min() < likeness.reward:
        return "a person is unlike the reference, says the reward"
    others = judge[:, faces].copy()
    np.fill_diagonal(others, -1)
    if others.max() > likeness.stranger:
        return "a person is like another one's reference"
    return replace(
        sample,
        boxes=target.boxes[faces],
        landmarks=target.landmarks[faces],
        embeddings=target.judge[faces],
        quality=float(np.clip(own.min(), 0, 1)),
    )
