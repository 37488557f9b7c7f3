"""The SCRFD face detector (Guo et al. 2021, arXiv 2105.04714) of insightface's model packs.

An exported SCRFD gives, for strides 8, 16 and 32 and two anchors at each place, a score, the
distances from the anchor to the four sides of the box, and to five landmarks, in units of the
stride: `x1 = cx - d0, y1 = cy - d1, x2 = cx + d2, y2 = cy + d3; landmark = (cx + k0, cy + k1)`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from umo.errors import UsageError
from umo.faces.detect import Faces
from umo.faces.nms import nms
from umo.faces.onnx_reader import Graph, GraphModule

STRIDES = (8, 16, 32)
ANCHORS = 2
OUTPUTS = 3 * len(STRIDES)
"""Scores of each stride, then boxes, then landmarks."""
LARGEST_SIDE = 640
"""Side of the network's input for large pictures, pixels."""
OVERLAP = 0.4


class Scrfd(nn.Module):
    """A `FaceDetector` on an SCRFD graph; pictures are taken one by one, as it was exported.

    Args:
        graph: The network, with nine outputs.
        threshold: Least score, 0 to 1.

    Raises:
        UsageError: The graph's outputs are not those of SCRFD with landmarks.
    """

    def __init__(self, graph: Graph, *, threshold: float = 0.5) -> None:
        super().__init__()
        if len(graph.outputs) != OUTPUTS:
            raise UsageError(
                f"the detector has {len(graph.outputs)} outputs, SCRFD with landmarks has {OUTPUTS}"
            )
        self.network = GraphModule(graph)
        self.side = graph.side
        self.threshold = threshold
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def detect(self, images: Tensor) -> list[Faces]:
        """Faces of each picture of a batch, uint8 `[B,H,W,3]` RGB."""
        return [self._detect(image) for image in images]

    def _detect(self, image: Tensor) -> Faces:
        height, width = image.shape[:2]
        longer = max(height, width)
        side = self.side or min(LARGEST_SIDE, -(-longer // STRIDES[-1]) * STRIDES[-1])
        scale = side / longer if longer > side or self.side else 1.0
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        picture = image.permute(2, 0, 1)[None].float()
        if scale != 1.0:
            picture = F.interpolate(picture, size=size, mode="bilinear", antialias=scale < 1)
        canvas = F.pad(picture, (0, side - size[1], 0, side - size[0]))
        outputs = self.network.run((canvas - 127.5) / 128)
        boxes, landmarks, scores = [], [], []
        for level, stride in enumerate(STRIDES):
            score, box, points = (
                outputs[level + len(STRIDES) * part].reshape(-1, columns)
                for part, columns in enumerate((1, 4, 10))
            )
            centres = _centres(side // stride, stride, score)
            sure = (score[:, 0] >= self.threshold).nonzero().flatten()
            centre, distance = centres[sure], box[sure] * stride
            boxes.append(torch.cat([centre - distance[:, :2], centre + distance[:, 2:]], dim=1))
            landmarks.append(centre[:, None] + points[sure].view(-1, 5, 2) * stride)
            scores.append(score[sure, 0])
        found, places, certain = torch.cat(boxes), torch.cat(landmarks), torch.cat(scores)
        owner = torch.zeros(len(found), dtype=torch.long)
        kept = nms(found, certain, owner, threshold=OVERLAP)
        return Faces(
            boxes=found[kept] / scale, landmarks=places[kept] / scale, scores=certain[kept]
        )


def _centres(cells: int, stride: int, like: Tensor) -> Tensor:
    axis = torch.arange(cells, device=like.device, dtype=like.dtype) * stride
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1).view(-1, 2)
    return grid.repeat_interleave(ANCHORS, dim=0)
