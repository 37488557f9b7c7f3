"""The network of RetinaFace (Deng et al. 2019, arXiv 1905.00641) on a ResNet-50.

The names are those of the public weights: `Resnet50_Final.pth` of Pytorch_Retinaface, which
facexlib calls `detection_Resnet50_Final.pth`. The ResNet gives features at strides 8, 16 and 32; a
pyramid adds each to the finer one below; at each level a context module looks through windows of 3,
5 and 7 cells; and convolutions of 1 x 1 say what each of two anchors at a cell sees.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 256
"""Channels of the pyramid."""
ANCHORS = 2
"""Anchors at each cell."""
STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
"""Inner channels, blocks and stride of each stage of ResNet-50."""
EXPANSION = 4
"""Channels of a stage over its inner channels."""


class RetinaFaceNetwork(nn.Module):
    """Maps BGR pixels minus (104, 117, 123) to what every anchor sees."""

    def __init__(self) -> None:
        super().__init__()
        self.body = _ResNet()
        self.fpn = _Pyramid()
        self.ssh1, self.ssh2, self.ssh3 = _Context(), _Context(), _Context()
        self.ClassHead = _heads(2)
        self.BboxHead = _heads(4)
        self.LandmarkHead = _heads(10)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Face probability `[B,A]`, box offsets `[B,A,4]` and landmark offsets `[B,A,5,2]`.

        Anchors run over strides 8, 16, 32, then rows, columns, and the smaller anchor first.

        Args:
            images: `[B,3,H,W]`.
        """
        levels = self.fpn(self.body(images))
        contexts = (self.ssh1, self.ssh2, self.ssh3)
        features = [context(level) for context, level in zip(contexts, levels, strict=True)]
        logits, boxes, points = (
            torch.cat([head(x) for head, x in zip(heads, features, strict=True)], dim=1)
            for heads in (self.ClassHead, self.BboxHead, self.LandmarkHead)
        )
        return logits.softmax(dim=2)[:, :, 1], boxes, points.unflatten(2, (5, 2))


class _ResNet(nn.Module):
    """ResNet-50 (He et al. 2015, arXiv 1512.03385) without its classifier; strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        width_in = 64
        for number, (width, blocks, stride) in enumerate(STAGES, start=1):
            widths = [width_in] + [width * EXPANSION] * (blocks - 1)
            strides = [stride] + [1] * (blocks - 1)
            stage = [_Bottleneck(w, width, s) for w, s in zip(widths, strides, strict=True)]
            self.add_module(f"layer{number}", nn.Sequential(*stage))
            width_in = width * EXPANSION

    def forward(self, images: Tensor) -> list[Tensor]:
        x = F.max_pool2d(torch.relu(self.bn1(self.conv1(images))), 3, stride=2, padding=1)
        levels = []
        for number in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"layer{number}")(x)
            levels.append(x)
        return levels[1:]


class _Bottleneck(nn.Module):
    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        width_out = width * EXPANSION
        self.conv1 = nn.Conv2d(width_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width_out)
        self.downsample = nn.Sequential()
        if stride != 1 or width_in != width_out:
            self.downsample.append(nn.Conv2d(width_in, width_out, 1, stride=stride, bias=False))
            self.downsample.append(nn.BatchNorm2d(width_out))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class _Pyramid(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        fine, middle, coarse = (width * EXPANSION for width, _, _ in STAGES[1:])
        self.output1 = _convolution(fine, WIDTH, kernel=1, relu=True)
        self.output2 = _convolution(middle, WIDTH, kernel=1, relu=True)
        self.output3 = _convolution(coarse, WIDTH, kernel=1, relu=True)
        self.merge1 = _convolution(WIDTH, WIDTH, relu=True)
        self.merge2 = _convolution(WIDTH, WIDTH, relu=True)

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        fine, middle, coarse = levels
        third = self.output3(coarse)
        second = self.output2(middle)
        second = self.merge2(second + F.interpolate(third, size=second.shape[2:]))
        first = self.output1(fine)
        first = self.merge1(first + F.interpolate(second, size=first.shape[2:]))
        return [first, second, third]


class _Context(nn.Module):
    """The context module of SSH (Najibi et al. 2017, arXiv 1708.03979)."""

    def __init__(self) -> None:
        super().__init__()
        half, quarter = WIDTH // 2, WIDTH // 4
        self.conv3X3 = _convolution(WIDTH, half)
        self.conv5X5_1 = _convolution(WIDTH, quarter, relu=True)
        self.conv5X5_2 = _convolution(quarter, quarter)
        self.conv7X7_2 = _convolution(quarter, quarter, relu=True)
        self.conv7x7_3 = _convolution(quarter, quarter)

    def forward(self, x: Tensor) -> Tensor:
        shared = self.conv5X5_1(x)
        windows = [self.conv3X3(x), self.conv5X5_2(shared), self.conv7x7_3(self.conv7X7_2(shared))]
        return torch.relu(torch.cat(windows, dim=1))


class _Head(nn.Module):
    def __init__(self, values: int) -> None:
        super().__init__()
        self.values = values
        self.conv1x1 = nn.Conv2d(WIDTH, ANCHORS * values, 1)

    def forward(self, x: Tensor) -> Tensor:
        seen: Tensor = self.conv1x1(x)
        return seen.permute(0, 2, 3, 1).reshape(len(x), -1, self.values)


def _heads(values: int) -> nn.ModuleList:
    return nn.ModuleList(_Head(values) for _ in STAGES[1:])


def _convolution(
    width_in: int, width: int, *, kernel: int = 3, relu: bool = False
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(width_in, width, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(width),
    ]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))
