"""IR-SE50, the embedder of InsightFace_Pytorch, with the names of its public weights.

The residual network of ArcFace (Deng et al. 2018, arXiv 1801.07698) with squeeze and excitation
(Hu et al. 2017, arXiv 1709.01507): each block weighs its channels by what they are on average.
XVerseBench's identity score runs it with the weights `model_ir_se50.pth` (ArcFace on MS-Celeb-1M).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DIM = 512
"""Length of the features."""
PLACES = 7 * 7
"""Cells of the last stage."""
STAGES = ((64, 3), (128, 4), (256, 14), (512, 3))
"""Channels and blocks of each stage; each begins with stride 2."""
REDUCTION = 16
"""Channels of a block over those inside its squeeze and excitation."""


class IrSe50(nn.Module):
    """Maps crops `[n,3,112,112]`, RGB in -1..1, to unit features `[n,512]`."""

    def __init__(self) -> None:
        super().__init__()
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64)
        )
        blocks = []
        width_in = 64
        for width, count in STAGES:
            blocks.append(_Block(width_in, width, stride=2))
            blocks += [_Block(width, width) for _ in range(count - 1)]
            width_in = width
        self.body = nn.Sequential(*blocks)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(width_in),
            nn.Dropout(),
            nn.Flatten(),
            nn.Linear(width_in * PLACES, DIM),
            nn.BatchNorm1d(DIM),
        )

    def forward(self, crops: Tensor) -> Tensor:
        """Unit features `[n,512]`."""
        return F.normalize(self.output_layer(self.body(self.input_layer(crops))))


class _Block(nn.Module):
    def __init__(self, width_in: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)
        if width_in != width:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(width_in, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width)
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(width_in),
            nn.Conv2d(width_in, width, 3, padding=1, bias=False),
            nn.PReLU(width),
            nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            _SqueezeExcitation(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.res_layer(x) + self.shortcut_layer(x)
        return change


class _SqueezeExcitation(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(width, width // REDUCTION, 1, bias=False)
        self.fc2 = nn.Conv2d(width // REDUCTION, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.sigmoid(self.fc2(torch.relu(self.fc1(x.mean(dim=(2, 3), keepdim=True)))))
        return x * weights
