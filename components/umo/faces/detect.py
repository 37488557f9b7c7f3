"""Faces found in pictures, and the MTCNN detector.

MTCNN (Zhang et al. 2016, arXiv 1604.02878) is a cascade: the P-net proposes boxes on a pyramid of
the picture, the R-net refines them, the O-net refines them again and places five landmarks. The
constants are those of facenet-pytorch 2.6.0, whose weights are used. Here a batch of pictures takes
one pass of the P-net for each pyramid level and one pass each of the R-net and the O-net.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from umo.faces.cascade import Onet, Pnet, Rnet
from umo.faces.nms import nms

PYRAMID_FACTOR = 0.709
PROPOSAL_THRESHOLD = 0.6
REFINE_THRESHOLD = 0.7
PROPOSAL_OVERLAP = 0.7
REFINE_OVERLAP = 0.7
"""Overlap above which a box gives way; with 0.5 the cascade takes half the time and loses faces."""
CELL, STRIDE = 12, 2
"""Receptive field and stride of the P-net, pixels."""


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

    def largest(self) -> "Faces":
        """Only the face with the largest box; no face if there is none."""
        sides = self.boxes[:, 2:] - self.boxes[:, :2]
        rows = sides.prod(dim=1).argsort(descending=True, stable=True)[:1]
        return Faces(
            boxes=self.boxes[rows], landmarks=self.landmarks[rows], scores=self.scores[rows]
        )


class FaceDetector(Protocol):
    """Finds faces; never part of a gradient."""

    def detect(self, images: Tensor) -> list[Faces]:
        """Faces of each picture of a batch, uint8 `[B,H,W,3]` RGB."""


class Mtcnn(nn.Module):
    """The MTCNN cascade, a `FaceDetector`.

    Args:
        weights: Tensors named `pnet.*`, `rnet.*` and `onet.*`.
        min_face: Side of the smallest face looked for, pixels.
        threshold: Least score of the O-net, 0 to 1; the original's 0.7 loses dark faces in half
            profile that a person sees at once.
    """

    def __init__(
        self, weights: Mapping[str, Tensor], *, min_face: int = 32, threshold: float = 0.5
    ) -> None:
        super().__init__()
        self.pnet = Pnet()
        self.rnet = Rnet()
        self.onet = Onet()
        self.min_face = min_face
        self.threshold = threshold
        self.load_state_dict(dict(weights))
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def detect(self, images: Tensor) -> list[Faces]:
        """Faces of each picture of a batch, uint8 `[B,H,W,3]` RGB."""
        pictures = images.to(self.pnet.conv1.weight).permute(0, 3, 1, 2)
        boxes, scores, owner = self._propose(pictures)
        boxes, scores, owner = self._refine(pictures, boxes, owner)
        boxes, scores, owner, landmarks = self._locate(pictures, boxes, owner)
        order = scores.argsort(descending=True, stable=True)
        found = []
        for index in range(len(images)):
            rows = order[owner[order] == index]
            found.append(Faces(boxes=boxes[rows], landmarks=landmarks[rows], scores=scores[rows]))
        return found

    def _propose(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        height, width = pictures.shape[2:]
        boxes, offsets, scores, owner = [], [], [], []
        scale = CELL / self.min_face
        while min(height, width) * scale >= CELL:
            level = _network_input(pictures, (int(height * scale + 1), int(width * scale + 1)))
            offset, score = self.pnet(level)
            index, row, column = (score >= PROPOSAL_THRESHOLD).nonzero(as_tuple=True)
            corner = torch.stack([column, row], dim=1) * STRIDE
            box = torch.cat([(corner + 1) / scale, (corner + CELL) / scale], dim=1).floor()
            kept = nms(box, score[index, row, column], index, threshold=0.5)
            boxes.append(box[kept])
            offsets.append(offset[index, :, row, column][kept])
            scores.append(score[index, row, column][kept])
            owner.append(index[kept])
            scale *= PYRAMID_FACTOR
        if not boxes:
            nothing = pictures.new_zeros(0)
            return nothing.view(0, 4), nothing, nothing.long()
        box, offset, score, index = map(torch.cat, (boxes, offsets, scores, owner))
        kept = nms(box, score, index, threshold=PROPOSAL_OVERLAP)
        box = box[kept]
        sides = (box[:, 2:] - box[:, :2]).repeat(1, 2)
        return _square(box + offset[kept] * sides), score[kept], index[kept]

    def _refine(
        self, pictures: Tensor, boxes: Tensor, owner: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        crops, inside = _crops(pictures, boxes, owner, 24)
        boxes, owner = boxes[inside], owner[inside]
        offset, score = self.rnet(crops)
        sure = score > REFINE_THRESHOLD
        boxes, score, owner, offset = boxes[sure], score[sure], owner[sure], offset[sure]
        kept = nms(boxes, score, owner, threshold=REFINE_OVERLAP)
        return _square(_regress(boxes[kept], offset[kept])), score[kept], owner[kept]

    def _locate(
        self, pictures: Tensor, boxes: Tensor, owner: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        crops, inside = _crops(pictures, boxes, owner, 48)
        boxes, owner = boxes[inside], owner[inside]
        offset, points, score = self.onet(crops)
        sure = score > self.threshold
        boxes, score, owner, offset = boxes[sure], score[sure], owner[sure], offset[sure]
        sides = boxes[:, None, 2:] - boxes[:, None, :2] + 1
        landmarks = points[sure].view(-1, 2, 5).transpose(1, 2) * sides + boxes[:, None, :2] - 1
        boxes = _regress(boxes, offset)
        kept = nms(boxes, score, owner, threshold=0.7, over="smaller")
        return boxes[kept], score[kept], owner[kept], landmarks[kept]


def _network_input(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    return (F.interpolate(pictures, size=size, mode="area") - 127.5) / 128


def _square(boxes: Tensor) -> Tensor:
    sides = boxes[:, 2:] - boxes[:, :2]
    longer = sides.amax(dim=1, keepdim=True)
    corner = boxes[:, :2] + (sides - longer) / 2
    return torch.cat([corner, corner + longer], dim=1)


def _regress(boxes: Tensor, offset: Tensor) -> Tensor:
    return boxes + offset * (boxes[:, 2:] - boxes[:, :2] + 1).repeat(1, 2)


def _crops(pictures: Tensor, boxes: Tensor, owner: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Network inputs `[k,3,size,size]` of the boxes that overlap their picture, and their rows."""
    height, width = pictures.shape[2:]
    crops, rows = [], []
    places = boxes.trunc().int().tolist()
    for row, ((x, y, right, bottom), index) in enumerate(zip(places, owner.tolist(), strict=True)):
        left, top = max(x, 1) - 1, max(y, 1) - 1
        right, bottom = min(right, width), min(bottom, height)
        if right > left and bottom > top:
            crop = pictures[index : index + 1, :, top:bottom, left:right]
            crops.append(_network_input(crop, (size, size)))
            rows.append(row)
    inputs = torch.cat(crops) if crops else pictures.new_zeros(0, 3, size, size)
    inputs = inputs.contiguous(memory_format=torch.channels_last)
    return inputs, torch.tensor(rows, dtype=torch.long, device=boxes.device)
