"""Linear layers with their weights in 8 bits: a quarter of float32's memory, half of bfloat16's.

Weights alone, symmetric, one scale for each output (as LLM.int8(), arXiv 2208.07339, section 2.1,
with rows of the weight only):

    s_j = max_i |W_ji| / 127,   Q_ji = round(W_ji / s_j),   y_j = s_j * sum_i x_i Q_ji + b_j

so a weight is off by half a step, `s_j / 2`, at most. `Q` is whole numbers up to 127, which float32
and bfloat16 hold exactly. It is turned into the input's format only while a product is computed,
forward and again backward: the backward pass keeps 8 bits too. The layer is frozen; a LoRA that
peft attaches to it trains as on any linear layer.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

MOST = 127


class Int8Linear(nn.Linear):
    """A frozen linear layer with the weights of another, in 8 bits.

    Args:
        linear: The other; its weights are read, not kept.
    """

    scale: Tensor
    """Float32 `[outputs]`."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=False, device="meta")
        weight = linear.weight.detach().float()
        scale = (weight.abs().amax(dim=1) / MOST).clamp(min=torch.finfo(torch.float32).tiny)
        levels = (weight / scale[:, None]).round().to(torch.int8)
        self.weight = nn.Parameter(levels, requires_grad=False)
        self.register_buffer("scale", scale)
        if linear.bias is not None:
            self.bias = nn.Parameter(linear.bias.detach(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[...,outputs]` of `[...,inputs]`, in the input's format, or in autocast's."""
        kind = x.device.type
        cast = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if cast else x.dtype
        scaled = _product(x.to(dtype), self.weight) * self.scale.to(dtype)
        return scaled if self.bias is None else scaled + self.bias.to(dtype)

    def whole(self) -> Tensor:
        """The weight that the layer computes with, float32 `[outputs,inputs]`."""
        return self.weight.float() * self.scale[:, None]


def to_int8(network: nn.Module) -> None:
    """Keep the linear layers of a network's blocks in 8 bits from now on.

    Blocks are the elements of its lists of modules. What embeds and what comes after the last block
    stays as it is: it is little, and every error there reaches the picture.

    Args:
        network: Without LoRA, and in its final number format.
    """
    for part in list(network.modules()):
        if isinstance(part, nn.ModuleList):
            _replace(part)


def _replace(module: nn.Module) -> None:
    for name, child in module.named_children():
        if type(child) is nn.Linear:
            setattr(module, name, Int8Linear(child))
        else:
            _replace(child)


class _Product(torch.autograd.Function):
    """`x Q^T`, which keeps `Q` in 8 bits for its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, levels: Tensor) -> Tensor:
        ctx.save_for_backward(levels)
        return x @ levels.to(x.dtype).T

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (levels,) = ctx.saved_tensors
        return gradient @ levels.to(gradient.dtype), None


_product: Callable[[Tensor, Tensor], Tensor] = _Product.apply
