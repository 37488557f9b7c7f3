"""Face embedders: a network, the pixels it was trained on, and a calibration of its cosines.

Raw embeddings of different people share a common part: dlib gives strangers a cosine of .86.
The calibration removes it. With unit embeddings `e`, the mean `m` of many people's embeddings and
the orthonormal directions `d` in which kinds of pictures differ (photographs, rendered people),
`c = e - m`, `f = c - sum_k (c . d_k) d_k`, and the result is `f / |f|`, so that the cosine of
strangers is near 0 in every kind of picture.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from umo.faces.align import align


class FaceEmbedder(nn.Module):
    """Unit-norm, re-centred face embeddings, differentiable in the pixels.

    Args:
        network: Maps `[n,3,size,size]` to features `[n,D]` (or `[n,D,1,1]`).
        size: Side of a crop, pixels.
        template: `[5,2]` xy pixels of the five landmarks in a crop.
        gain: What `network` expects is `gain * crop + offset`, for crops in -1..1.
        offset: One value for each of R, G, B.
        bgr: Whether `network` expects BGR.
        smooth: Whether its crops are free of aliasing, see `umo.faces.align`.
        mean: `[D]`, subtracted from the unit features.
        directions: `[k,D]` orthonormal, removed from the difference.
    """

    template: Tensor
    offset: Tensor
    mean: Tensor
    directions: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        size: int,
        template: Tensor,
        mean: Tensor,
        directions: Tensor,
        gain: float = 1.0,
        offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
        bgr: bool = False,
        smooth: bool = True,
    ) -> None:
        super().__init__()
        self.network = network
        self.size = size
        self.gain = gain
        self.bgr = bgr
        self.smooth = smooth
        self.register_buffer("template", template)
        self.register_buffer("offset", torch.tensor(offset).view(3, 1, 1))
        self.register_buffer("mean", mean)
        self.register_buffer("directions", directions)
        self.eval().requires_grad_(False)

    @property
    def dim(self) -> int:
        """Length D of an embedding."""
        return self.mean.shape[0]

    def crops(self, images: Tensor, landmarks: Tensor, image_index: Tensor) -> Tensor:
        """Crops `[n,3,size,size]` of faces in pictures `[B,3,H,W]`, see `umo.faces.align`."""
        return align(images, landmarks, image_index, self.template, self.size, smooth=self.smooth)

    def features(self, crops: Tensor) -> Tensor:
        """Unit-norm features `[n,D]` of the network, before calibration."""
        inputs = crops * self.gain + self.offset
        features: Tensor = self.network(inputs.flip(1) if self.bgr else inputs)
        return F.normalize(features.flatten(1))

    def forward(self, crops: Tensor) -> Tensor:
        """Embeddings `[n,D]` of crops `[n,3,size,size]`, RGB in -1..1."""
        if not len(crops):
            return crops.new_zeros(0, self.dim)
        return centre(self.features(crops), self.mean, self.directions)


def centre(features: Tensor, mean: Tensor, directions: Tensor) -> Tensor:
    """Calibrated embeddings `[n,D]` of unit features `[n,D]`; see the top of the module."""
    centred = features - mean
    return F.normalize(centred - (centred @ directions.T) @ directions)
