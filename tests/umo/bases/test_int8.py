"""Linear layers in 8 bits: the error is what the formula allows, and a LoRA trains on them."""

from typing import Any

import pytest
import torch
from torch import nn

from umo.bases import load_base
from umo.bases.embedded import tiny
from umo.bases.int8 import Int8Linear, to_int8


@pytest.fixture
def linear() -> nn.Linear:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Linear(40, 24)


def inputs(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def test_a_weight_is_off_by_half_a_step_at_most(linear: nn.Linear) -> None:
    low = Int8Linear(linear)
    assert low.weight.dtype == torch.int8
    assert low.weight.abs().amax(dim=1).tolist() == [127] * 24
    error = (low.whole() - linear.weight).abs()
    assert (error <= low.scale[:, None] * 0.5001).all()


def test_a_layer_of_zeros_stays_one(linear: nn.Linear) -> None:
    nn.init.zeros_(linear.weight)
    torch.testing.assert_close(Int8Linear(linear)(inputs(3, 40)), linear.bias.expand(3, 24))


@pytest.mark.parametrize("bias", [True, False])
def test_output_and_gradient_are_those_of_the_rounded_weight(bias: bool) -> None:
    low = Int8Linear(nn.Linear(40, 24, bias=bias))
    x = inputs(2, 5, 40).requires_grad_()
    output = low(x)
    expected = nn.functional.linear(x, low.whole(), low.bias)
    torch.testing.assert_close(output, expected)
    (gradient,) = torch.autograd.grad(output.square().sum(), x)
    (wanted,) = torch.autograd.grad(expected.square().sum(), x)
    torch.testing.assert_close(gradient, wanted)


def test_the_backward_pass_keeps_8_bits(linear: nn.Linear) -> None:
    kept: list[torch.dtype] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.ndim == 2 and tensor.shape[-1] == 40:
            kept.append(tensor.dtype)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        Int8Linear(linear)(inputs(7, 3, 40).requires_grad_())
    assert kept == [torch.int8]


def test_autocast_and_bfloat16_compute_in_it(linear: nn.Linear) -> None:
    low = Int8Linear(linear)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = low(inputs(3, 40))
    assert output.dtype == low(inputs(3, 40).bfloat16()).dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), low(inputs(3, 40)), rtol=0.02, atol=0.02)


def velocity(base: Any) -> torch.Tensor:
    references = [[torch.linspace(-1, 1, 3 * 64 * 48).view(3, 64, 48)]]
    conditioning = base.encode(["One person on a beach"], references)
    latents = inputs(1, *base.latent_shape(96, 64))
    with torch.no_grad():
        result: torch.Tensor = base.velocity(
            latents, torch.tensor([0.5]), conditioning, guidance=4.0
        )
    return result


def test_the_embedded_base_paints_the_same_within_a_hundredth() -> None:
    base = load_base()
    before = velocity(base)
    to_int8(base.transformer)
    error = (velocity(base) - before).norm() / before.norm()
    assert 0 < error < 0.01
    layers = [m for m in base.transformer.modules() if isinstance(m, nn.Linear)]
    low = [m for m in layers if isinstance(m, Int8Linear)]
    assert sum(m.weight.numel() for m in low) > 0.9 * sum(m.weight.numel() for m in layers)


def test_a_lora_trains_on_it_and_nothing_else() -> None:
    base = tiny(0)
    to_int8(base.transformer)
    levels = {n: p.clone() for n, p in base.transformer.named_parameters()}
    trained = base.add_lora(2, seed=0)
    for parameter in trained:
        assert parameter.dtype == torch.float32
        parameter.data.add_(0.01)
    conditioning = base.encode(["One person on a beach"], [[torch.zeros(3, 32, 32)]])
    latents = inputs(1, *base.latent_shape(32, 32))
    base.velocity(
        latents, torch.tensor([0.5]), conditioning, guidance=1.0
    ).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trained)
    assert all(p.grad is None for p in base.transformer.parameters() if not p.requires_grad)
    base.without_lora()
    assert all(torch.equal(p, levels[n]) for n, p in base.transformer.named_parameters())
