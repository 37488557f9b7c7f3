from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from umo.faces.irse import IrSe50

Shapes = dict[str, tuple[int, ...]]
BLOCKS = [64] * 3 + [128] * 4 + [256] * 14 + [512] * 3
"""Channels of each block; a block that is the first with its channels halves the picture."""


@pytest.fixture(scope="module")
def weights(random_weights: Callable[..., dict[str, Tensor]]) -> dict[str, Tensor]:
    return random_weights(IrSe50)


def test_names_and_shapes_are_those_of_the_public_file(
    batch_norm: Callable[[str, int], Shapes],
) -> None:
    expected: Shapes = {"input_layer.0.weight": (64, 3, 3, 3), "input_layer.2.weight": (64,)}
    expected |= batch_norm("input_layer.1", 64)
    width_in = 64
    for block, width in enumerate(BLOCKS):
        at = f"body.{block}.res_layer"
        expected |= batch_norm(f"{at}.0", width_in) | batch_norm(f"{at}.4", width)
        expected[f"{at}.1.weight"] = (width, width_in, 3, 3)
        expected[f"{at}.2.weight"] = (width,)
        expected[f"{at}.3.weight"] = (width, width, 3, 3)
        expected[f"{at}.5.fc1.weight"] = (width // 16, width, 1, 1)
        expected[f"{at}.5.fc2.weight"] = (width, width // 16, 1, 1)
        if width != width_in:
            expected[f"body.{block}.shortcut_layer.0.weight"] = (width, width_in, 1, 1)
            expected |= batch_norm(f"body.{block}.shortcut_layer.1", width)
        width_in = width
    expected |= batch_norm("output_layer.0", 512) | batch_norm("output_layer.4", 512)
    expected |= {"output_layer.3.weight": (512, 512 * 7 * 7), "output_layer.3.bias": (512,)}
    with torch.device("meta"):
        network = IrSe50()
    found = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    counters = {name for name in found if name.endswith("num_batches_tracked")}
    assert {name: found[name] for name in found.keys() - counters} == expected
    assert sum(parameter.numel() for parameter in network.parameters()) == 43_797_696


def test_it_computes_what_the_description_says(weights: dict[str, Tensor]) -> None:
    with torch.device("meta"):
        network = IrSe50()
    network.load_state_dict(weights, assign=True)
    crops = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        measured, expected = network.eval()(crops), described(weights, crops)
    torch.testing.assert_close(measured.norm(dim=1), torch.ones(2))
    assert (measured[0] - measured[1]).abs().max() > 1e-3
    torch.testing.assert_close(measured, expected, atol=1e-5, rtol=1e-4)


def described(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """IR-SE50 layer by layer, without a module."""

    def norm(x: Tensor, at: str) -> Tensor:
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(weights[f"{at}.{name}"] for name in names), eps=1e-5)

    x = F.conv2d(x, weights["input_layer.0.weight"], padding=1)
    x = F.prelu(norm(x, "input_layer.1"), weights["input_layer.2.weight"])
    for block, width in enumerate(BLOCKS):
        at = f"body.{block}.res_layer"
        stride = 2 if block == 0 or BLOCKS[block - 1] != width else 1
        y = F.conv2d(norm(x, f"{at}.0"), weights[f"{at}.1.weight"], padding=1)
        y = F.prelu(y, weights[f"{at}.2.weight"])
        y = norm(F.conv2d(y, weights[f"{at}.3.weight"], stride=stride, padding=1), f"{at}.4")
        squeezed = torch.relu(
            F.conv2d(y.mean(dim=(2, 3), keepdim=True), weights[f"{at}.5.fc1.weight"])
        )
        y = y * torch.sigmoid(F.conv2d(squeezed, weights[f"{at}.5.fc2.weight"]))
        at = f"body.{block}.shortcut_layer"
        if f"{at}.0.weight" in weights:
            x = norm(F.conv2d(x, weights[f"{at}.0.weight"], stride=stride), f"{at}.1")
        else:
            x = x[:, :, ::stride, ::stride]
        x = x + y
    x = norm(x, "output_layer.0").flatten(1)
    x = F.linear(x, weights["output_layer.3.weight"], weights["output_layer.3.bias"])
    return F.normalize(norm(x, "output_layer.4"))
