"""dlib's face recognition network: a ResNet of 29 convolutions, 150 x 150 RGB to 128 numbers.

The architecture is `anet_type` of dlib's `dnn_face_recognition_ex.cpp`. Its affine layers follow
convolutions directly and are folded into them, so the network is convolutions, ReLU and pooling.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BLOCKS = (
    *[(32, 32, 1)] * 3,
    *[(32, 64, 2), *[(64, 64, 1)] * 3],
    *[(64, 128, 2), *[(128, 128, 1)] * 2],
    *[(128, 256, 2), *[(256, 256, 1)] * 2],
    (256, 256, 2),
)
"""Input channels, output channels and stride of each residual block, first to last."""


class DlibResnet(nn.Module):
    """Maps `(pixels - channel mean) / 256` `[n,3,150,150]` to `[n,128]`, not normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 7, stride=2)
        self.blocks = nn.Sequential(*(_Block(*block) for block in BLOCKS))
        self.head = nn.Linear(256, 128, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Features `[n,128]`; dlib calls two of one person when they are nearer than 0.6."""
        x = F.max_pool2d(torch.relu(self.stem(images)), 3, stride=2)
        features: Tensor = self.head(self.blocks(x).mean(dim=(2, 3)))
        return features


class _Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut; the smaller of the two is padded with zeros."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(width_in, width, 3, stride=stride, padding=1 if stride == 1 else 0)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        change = self.conv2(torch.relu(self.conv1(x)))
        shortcut = F.avg_pool2d(x, 2, stride=2) if self.stride == 2 else x
        shape = [max(sizes) for sizes in zip(change.shape[1:], shortcut.shape[1:], strict=True)]
        return torch.relu(_padded(change, shape) + _padded(shortcut, shape))


def _padded(x: Tensor, shape: list[int]) -> Tensor:
    channels, height, width = (wanted - has for wanted, has in zip(shape, x.shape[1:], strict=True))
    return F.pad(x, (0, width, 0, height, 0, channels))
