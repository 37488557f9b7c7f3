from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from umo.faces.iresnet import IResNet50

Shapes = dict[str, tuple[int, ...]]
BLOCKS = ((64, 3), (128, 4), (256, 14), (512, 3))


@pytest.fixture(scope="module")
def weights(random_weights: Callable[..., dict[str, Tensor]]) -> dict[str, Tensor]:
    return random_weights(IResNet50)


def test_names_and_shapes_are_those_of_the_public_file(
    batch_norm: Callable[[str, int], Shapes],
) -> None:
    expected: Shapes = {"conv1.weight": (64, 3, 3, 3), "prelu.weight": (64,)}
    expected |= batch_norm("bn1", 64)
    width_in = 64
    for stage, (width, blocks) in enumerate(BLOCKS, start=1):
        for block in range(blocks):
            at = f"layer{stage}.{block}"
            expected |= batch_norm(f"{at}.bn1", width_in) | batch_norm(f"{at}.bn2", width)
            expected |= batch_norm(f"{at}.bn3", width) | {f"{at}.prelu.weight": (width,)}
            expected[f"{at}.conv1.weight"] = (width, width_in, 3, 3)
            expected[f"{at}.conv2.weight"] = (width, width, 3, 3)
            if block == 0:
                expected[f"{at}.downsample.0.weight"] = (width, width_in, 1, 1)
                expected |= batch_norm(f"{at}.downsample.1", width)
            width_in = width
    expected |= batch_norm("bn2", 512) | batch_norm("features", 512)
    expected |= {"fc.weight": (512, 512 * 7 * 7), "fc.bias": (512,)}
    with torch.device("meta"):
        network = IResNet50()
    found = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    counters = {name for name in found if name.endswith("num_batches_tracked")}
    assert {name: found[name] for name in found.keys() - counters} == expected
    assert sum(parameter.numel() for parameter in network.parameters()) == 43_590_848


def test_it_computes_what_the_description_says(weights: dict[str, Tensor]) -> None:
    with torch.device("meta"):
        network = IResNet50()
    network.load_state_dict(weights, assign=True)
    crops = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        measured, expected = network.eval()(crops), described(weights, crops)
    assert measured.shape == (2, 512)
    assert measured.std() > 0.01
    torch.testing.assert_close(measured, expected, atol=1e-4, rtol=1e-4)


def described(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """iresnet50 layer by layer, without a module."""

    def norm(x: Tensor, at: str) -> Tensor:
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(weights[f"{at}.{name}"] for name in names), eps=1e-5)

    x = F.conv2d(x, weights["conv1.weight"], padding=1)
    x = F.prelu(norm(x, "bn1"), weights["prelu.weight"])
    for stage, (_, blocks) in enumerate(BLOCKS, start=1):
        for block in range(blocks):
            at = f"layer{stage}.{block}"
            stride = 2 if block == 0 else 1
            y = F.conv2d(norm(x, f"{at}.bn1"), weights[f"{at}.conv1.weight"], padding=1)
            y = F.prelu(norm(y, f"{at}.bn2"), weights[f"{at}.prelu.weight"])
            y = F.conv2d(y, weights[f"{at}.conv2.weight"], stride=stride, padding=1)
            if block == 0:
                x = F.conv2d(x, weights[f"{at}.downsample.0.weight"], stride=2)
                x = norm(x, f"{at}.downsample.1")
            x = norm(y, f"{at}.bn3") + x
    x = norm(x, "bn2").flatten(1)
    return norm(F.linear(x, weights["fc.weight"], weights["fc.bias"]), "features")
