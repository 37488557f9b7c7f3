"""iresnet50, the embedder of insightface's arcface_torch, with the names of its public weights.

An "improved" residual network for crops of 112 x 112 (ArcFace, Deng et al. 2018, arXiv 1801.07698,
section 3.1): no pooling at the start, batch normalisation before the first convolution of a block,
PReLU, and a fully connected layer over all 7 x 7 places. UMO's reward runs it with the weights
`glint_cosface_res50.pth` (CosFace on Glint360K).
"""

import torch
from torch import Tensor, nn

DIM = 512
"""Length of the features."""
PLACES = 7 * 7
"""Cells of the last stage."""
STAGES = ((64, 3), (128, 4), (256, 14), (512, 3))
"""Channels and blocks of each stage; each begins with stride 2."""


class IResNet50(nn.Module):
    """Maps crops `[n,3,112,112]`, RGB in -1..1, to features `[n,512]`, not normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.prelu = nn.PReLU(64)
        width_in = 64
        for number, (width, blocks) in enumerate(STAGES, start=1):
            first = _Block(width_in, width, stride=2)
            rest = (_Block(width, width) for _ in range(blocks - 1))
            self.add_module(f"layer{number}", nn.Sequential(first, *rest))
            width_in = width
        self.bn2 = nn.BatchNorm2d(width_in)
        self.fc = nn.Linear(width_in * PLACES, DIM)
        self.features = nn.BatchNorm1d(DIM)

    def forward(self, crops: Tensor) -> Tensor:
        """Features `[n,512]`."""
        x = self.prelu(self.bn1(self.conv1(crops)))
        for number in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        features: Tensor = self.features(self.fc(torch.flatten(self.bn2(x), 1)))
        return features


class _Block(nn.Module):
    def __init__(self, width_in: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(width_in)
        self.conv1 = nn.Conv2d(width_in, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.prelu = nn.PReLU(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.downsample = nn.Sequential()
        if stride != 1:
            self.downsample.append(nn.Conv2d(width_in, width, 1, stride=stride, bias=False))
            self.downsample.append(nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        change: Tensor = self.bn3(self.conv2(y)) + self.downsample(x)
        return change
