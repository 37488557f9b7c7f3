"""Faces found, measured and embedded in batches, while the next pictures are being decoded.

Faces are looked for in pictures shrunk to `detect_side` and padded to sides that are multiples of
64, so that pictures of many sizes share a batch; they are aligned and embedded from the picture as
it was read.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from time import thread_time
from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from umo.data.schema import Image
from umo.faces.align import align
from umo.faces.detect import Faces
from umo.faces.embed import FaceEmbedder
from umo.faces.packs import FacePack
from umo.harvest.quality import Measures, QualityConfig, Values, measure, verdicts
from umo.pixels import to_float

T = TypeVar("T")

PAD = 64
"""Sides of detected pictures are multiples of it, pixels."""
CROP = 112
"""Side of the aligned faces that are measured, pixels."""


@dataclass(frozen=True, kw_only=True)
class LookConfig:
    """How faces are looked for."""

    detect_side: int = 640
    """Longer side of a picture in which faces are looked for, pixels."""
    batch: int = 8
    """Pictures in one pass of a network; the next ones are decoded meanwhile."""

    def __post_init__(self) -> None:
        if self.detect_side < PAD or self.batch < 1:
            raise ValueError(
                f"detect_side {self.detect_side} must be at least {PAD}, batch {self.batch} "
                "at least 1"
            )


class Clock:
    """Seconds that a core spent in each part of the work; other programs do not change them."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time that this thread works in the body to a part."""
        start = thread_time()
        try:
            yield
        finally:
            self.seconds[name] += thread_time() - start


@dataclass(frozen=True, kw_only=True)
class Looked:
    """The faces of one picture."""

    boxes: Values
    """`[n,4]` xyxy pixels."""
    landmarks: Values
    """`[n,5,2]` xy pixels."""
    measures: Measures
    reasons: list[str]
    """Of each face: why it is not good enough, or empty."""
    embeddings: Values
    """Of the good ones `[k,D]`, by the reward embedder."""

    @property
    def good(self) -> NDArray[np.int64]:
        """The faces `[k]` that are good enough."""
        return np.array([n for n, reason in enumerate(self.reasons) if not reason], np.int64)


def look(
    pack: FacePack,
    pictures: Sequence[Image],
    config: LookConfig,
    quality: QualityConfig,
    clock: Clock,
) -> list[Looked]:
    """Find, measure and embed the faces of a few pictures of any sizes."""
    with clock.part("detect"):
        found = detect(pack, pictures, config.detect_side)
    with clock.part("align and measure"):
        crops = [
            align_faces(picture, f, pack.reward) for picture, f in zip(pictures, found, strict=True)
        ]
        measured = [
            _measure(picture, faces, crop)
            for picture, faces, crop in zip(pictures, found, crops, strict=True)
        ]
    reasons = [verdicts(measures, quality) for measures in measured]
    good = [
        crop[[not reason for reason in said]] for crop, said in zip(crops, reasons, strict=True)
    ]
    with clock.part("embed"):
        embeddings = embed(pack.reward, torch.cat(good)).split([len(crop) for crop in good])
    return [
        Looked(
            boxes=faces.boxes.numpy(),
            landmarks=faces.landmarks.numpy(),
            measures=measures,
            reasons=said,
            embeddings=rows.numpy(),
        )
        for faces, measures, said, rows in zip(found, measured, reasons, embeddings, strict=True)
    ]


def detect(pack: FacePack, pictures: Sequence[Image], side: int) -> list[Faces]:
    """Faces of pictures of any sizes, in pixels of the pictures, on the CPU."""
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    small, scales = [], []
    for number, picture in enumerate(pictures):
        height, width = picture.shape[:2]
        scale = min(1.0, side / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        resized = picture if scale == 1 else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        rows, columns = (-(-length // PAD) * PAD for length in resized.shape[:2])
        canvas = np.zeros((rows, columns, 3), np.uint8)
        canvas[: resized.shape[0], : resized.shape[1]] = resized
        small.append(canvas)
        scales.append((size[0] / width, size[1] / height))
        groups[rows, columns].append(number)
    device = pack.reward.mean.device
    found: dict[int, Faces] = {}
    for numbers in groups.values():
        batch = torch.from_numpy(np.stack([small[number] for number in numbers])).to(device)
        for number, faces in zip(numbers, pack.detector.detect(batch), strict=True):
            scale = torch.tensor(scales[number])
            found[number] = Faces(
                boxes=faces.boxes.cpu() / scale.repeat(2),
                landmarks=faces.landmarks.cpu() / scale,
                scores=faces.scores.cpu(),
            )
    return [found[number] for number in range(len(pictures))]


def align_faces(picture: Image, faces: Faces, embedder: FaceEmbedder) -> Tensor:
    """Aligned faces `[n,3,size,size]` of one picture in -1..1; reads only what is around them."""
    crops = [torch.zeros(0, 3, embedder.size, embedder.size)]
    for box, points in zip(faces.boxes.numpy(), faces.landmarks, strict=True):
        left, top, right, bottom = _around(box, picture.shape[:2])
        region = to_float(torch.from_numpy(picture[top:bottom, left:right].copy()))[None]
        shifted = (points - torch.tensor([left, top]))[None]
        index = torch.zeros(1, dtype=torch.long)
        crops.append(align(region, shifted, index, embedder.template.cpu(), embedder.size))
    return torch.cat(crops)


@torch.no_grad()
def embed(embedder: FaceEmbedder, crops: Tensor) -> Tensor:
    """Embeddings `[n,D]` on the CPU of aligned faces."""
    embeddings: Tensor = embedder(crops.to(embedder.mean.device))
    return embeddings.float().cpu()


def ahead(items: Iterable[T], count: int) -> Iterator[T]:
    """The items, none of them None, made by a thread that is at most `count` of them ahead."""
    iterator = iter(items)
    with ThreadPoolExecutor(1) as thread:
        waiting = deque(thread.submit(next, iterator, None) for _ in range(count))
        while (item := waiting.popleft().result()) is not None:
            waiting.append(thread.submit(next, iterator, None))
            yield item


def _measure(picture: Image, faces: Faces, crops: Tensor) -> Measures:
    grey = (crops.mean(dim=1).numpy() + 1) / 2
    if grey.shape[1] != CROP:
        grey = np.array([cv2.resize(crop, (CROP, CROP)) for crop in grey]).reshape(-1, CROP, CROP)
    height, width = picture.shape[:2]
    return measure(
        (height, width),
        faces.boxes.numpy(),
        faces.landmarks.numpy(),
        faces.scores.numpy(),
        grey.astype(np.float32),
    )


def _around(box: Values, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The box grown by its own size to each side, inside the picture and never empty."""
    height, width = shape[:2]
    sides = box[2:] - box[:2]
    low = np.clip(np.floor(box[:2] - sides), 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil(box[2:] + sides), low + 1, [width, height]).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
