"""The RetinaFace detector (Deng et al. 2019, arXiv 1905.00641), a `FaceDetector`.

Anchors are squares of side `s` about the centre of each cell, in pixels; with an anchor at `(x, y)`
and offsets `d` and `k` of the network, variances 0.1 and 0.2,

    centre = (x + 0.1 s d0, y + 0.1 s d1), sides = (s exp(0.2 d2), s exp(0.2 d3)),
    landmark = (x + 0.1 s k0, y + 0.1 s k1).

Thresholds are those of the public scripts: facexlib's (score 0.8, overlap 0.4) and facer's are the
same.
"""

import torch
from torch import Tensor, nn

from umo.faces.detect import Faces
from umo.faces.nms import nms

STRIDES = (8, 16, 32)
SIDES = ((16, 32), (64, 128), (256, 512))
"""Sides of the anchors at each stride, pixels."""
CENTRE_VARIANCE, SIDE_VARIANCE = 0.1, 0.2
MEANS = (104.0, 117.0, 123.0)
"""Subtracted from the first, second and third channel, 0 to 255."""
OVERLAP = 0.4
"""Greatest intersection over union of two faces."""


class RetinaFace(nn.Module):
    """RetinaFace on a ResNet-50; a batch of pictures takes one pass of the network.

    Args:
        network: A `RetinaFaceNetwork` with its weights.
        bgr: Whether it is fed BGR, as it was trained (facexlib, UMO's reward), or RGB, as facer and
            so XVerse's scripts do.
        threshold: Least score, 0 to 1.
    """

    means: Tensor

    def __init__(self, network: nn.Module, *, bgr: bool = True, threshold: float = 0.8) -> None:
        super().__init__()
        self.network = network
        self.bgr = bgr
        self.threshold = threshold
        self.register_buffer("means", torch.tensor(MEANS).view(3, 1, 1))
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def detect(self, images: Tensor) -> list[Faces]:
        """Faces of each picture of a batch, uint8 `[B,H,W,3]` RGB."""
        pixels = images.to(self.means).permute(0, 3, 1, 2)
        scores, offsets, points = self.network(
            (pixels.flip(1) if self.bgr else pixels) - self.means
        )
        owner, anchor = (scores > self.threshold).nonzero(as_tuple=True)
        anchors = anchors_of(images.shape[1], images.shape[2]).to(scores)[anchor]
        boxes, landmarks = decode(anchors, offsets[owner, anchor], points[owner, anchor])
        certain = scores[owner, anchor]
        kept = nms(boxes, certain, owner, threshold=OVERLAP)
        found = []
        for index in range(len(images)):
            rows = kept[owner[kept] == index]
            found.append(Faces(boxes=boxes[rows], landmarks=landmarks[rows], scores=certain[rows]))
        return found


def anchors_of(height: int, width: int) -> Tensor:
    """Anchors `[A,3]` of a picture: x and y of the centre, and side, pixels."""
    anchors = []
    for stride, sides in zip(STRIDES, SIDES, strict=True):
        rows, columns = (torch.arange(-(-extent // stride)) for extent in (height, width))
        axes = ((rows + 0.5) * stride, (columns + 0.5) * stride, torch.tensor(sides).float())
        y, x, side = torch.meshgrid(*axes, indexing="ij")
        anchors.append(torch.stack([x, y, side], dim=-1).view(-1, 3))
    return torch.cat(anchors)


def decode(anchors: Tensor, offsets: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes `[n,4]` xyxy and landmarks `[n,5,2]`, pixels; see the top of the module.

    Args:
        anchors: `[n,3]`.
        offsets: `[n,4]`, of the boxes.
        points: `[n,5,2]`, of the landmarks.
    """
    places, side = anchors[:, :2], anchors[:, 2:]
    centres = places + CENTRE_VARIANCE * side * offsets[:, :2]
    sides = side * (SIDE_VARIANCE * offsets[:, 2:]).exp()
    landmarks = places[:, None] + CENTRE_VARIANCE * side[:, None] * points
    return torch.cat([centres - sides / 2, centres + sides / 2], dim=1), landmarks
