"""The ONNX operators of face networks, in torch: attributes first, then the inputs in order."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.grad import conv2d_input

from umo.errors import UsageError

Attributes = Mapping[str, Any]


def _padded(attributes: Attributes, x: Tensor, value: float = 0.0) -> Tensor:
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    return (
        F.pad(x, (left, right, top, bottom), value=value) if top or left or bottom or right else x
    )


class _Conv(torch.autograd.Function):
    """Convolution with a fixed kernel; unlike torch's own it does not keep its input."""

    @staticmethod
    def forward(
        context: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: Sequence[int],
        dilation: Sequence[int],
        groups: int,
    ) -> Tensor:
        context.save_for_backward(weight)
        context.shape, context.strides = x.shape, (stride, 0, dilation, groups)
        return F.conv2d(x, weight, bias, *context.strides)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = context.saved_tensors
        inputs = conv2d_input(context.shape, weight, gradients[0], *context.strides)
        return inputs, None, None, None, None, None


def _conv(attributes: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    apply: Callable[..., Tensor] = _Conv.apply
    return apply(
        _padded(attributes, x),
        weight,
        bias,
        tuple(attributes.get("strides", (1, 1))),
        tuple(attributes.get("dilations", (1, 1))),
        attributes.get("group", 1),
    )


class _PRelu(torch.autograd.Function):
    """PReLU with a fixed slope; it keeps a byte for each value, for what has no gradient."""

    @staticmethod
    def forward(context: Any, x: Tensor, slope: Tensor) -> Tensor:
        context.save_for_backward(x < 0, slope)
        return F.prelu(x, slope.flatten())

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        negative, slope = context.saved_tensors
        return torch.addcmul(gradient, gradient * negative, slope - 1), None


def _prelu(attributes: Attributes, x: Tensor, slope: Tensor) -> Tensor:
    apply: Callable[..., Tensor] = _PRelu.apply
    return apply(x, slope)


def _batch_norm(
    attributes: Attributes, x: Tensor, gain: Tensor, offset: Tensor, mean: Tensor, variance: Tensor
) -> Tensor:
    return F.batch_norm(x, mean, variance, gain, offset, eps=attributes.get("epsilon", 1e-5))


def _gemm(attributes: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    x = x.T if attributes.get("transA", 0) else x
    weight = weight.T if attributes.get("transB", 0) else weight
    product: Tensor = attributes.get("alpha", 1.0) * (x @ weight)
    return product if bias is None else product + attributes.get("beta", 1.0) * bias


def _flatten(attributes: Attributes, x: Tensor) -> Tensor:
    return x.flatten(1)


def _reshape(attributes: Attributes, x: Tensor, shape: Tensor) -> Tensor:
    """A batch keeps its rows where the graph was exported for a single picture."""
    sizes = [x.shape[i] if size == 0 else size for i, size in enumerate(shape.tolist())]
    return x.reshape(len(x) if sizes[0] == 1 else sizes[0], *sizes[1:])


def _pooling(attributes: Attributes) -> dict[str, Any]:
    pads = tuple(attributes.get("pads", (0, 0, 0, 0)))
    if pads[:2] != pads[2:]:
        raise UsageError(f"a pooling layer has the uneven padding {pads}")
    return {
        "kernel_size": tuple(attributes["kernel_shape"]),
        "stride": tuple(attributes.get("strides", (1, 1))),
        "padding": pads[:2],
        "ceil_mode": bool(attributes.get("ceil_mode", 0)),
    }


def _average_pool(attributes: Attributes, x: Tensor) -> Tensor:
    include = bool(attributes.get("count_include_pad", 0))
    return F.avg_pool2d(x, **_pooling(attributes), count_include_pad=include)


def _resize(
    attributes: Attributes,
    x: Tensor,
    region: Tensor | None = None,
    scales: Tensor | None = None,
    sizes: Tensor | None = None,
) -> Tensor:
    if attributes.get("mode", "nearest") != "nearest":
        raise UsageError(f"a Resize layer has the mode {attributes['mode']}, nearest is known")
    if sizes is not None:
        return F.interpolate(x, size=sizes.tolist()[2:], mode="nearest")
    if scales is None:
        raise UsageError("a Resize layer has neither sizes nor scales")
    return F.interpolate(x, scale_factor=scales.tolist()[2:], mode="nearest")


def _shape(attributes: Attributes, x: Tensor) -> Tensor:
    return torch.tensor(x.shape, device=x.device)


def _gather(attributes: Attributes, x: Tensor, index: Tensor) -> Tensor:
    axis = attributes.get("axis", 0)
    taken = x.index_select(axis, index.flatten())
    return taken.reshape([*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]])


def _slice(
    attributes: Attributes,
    x: Tensor,
    starts: Tensor,
    ends: Tensor,
    axes: Tensor | None = None,
    steps: Tensor | None = None,
) -> Tensor:
    if steps is not None and set(steps.tolist()) != {1}:
        raise UsageError(f"a Slice layer has the steps {steps.tolist()}, 1 is known")
    chosen = range(len(starts)) if axes is None else axes.tolist()
    for axis, start, end in zip(chosen, starts.tolist(), ends.tolist(), strict=True):
        first, last, _ = slice(start, end).indices(x.shape[axis])
        x = x.narrow(axis, first, last - first)
    return x


def _unsqueeze(attributes: Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
    for axis in sorted(attributes["axes"] if axes is None else axes.tolist()):
        x = x.unsqueeze(axis)
    return x


def _cast(attributes: Attributes, x: Tensor) -> Tensor:
    kinds = {1: torch.float32, 6: torch.int32, 7: torch.int64}
    return x.to(kinds[attributes["to"]])


def _global_average_pool(attributes: Attributes, x: Tensor) -> Tensor:
    return x.mean(dim=(2, 3), keepdim=True)


OPERATORS: dict[str, Callable[..., Tensor]] = {
    "Add": lambda attributes, x, y: x + y,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Concat": lambda attributes, *parts: torch.cat(parts, dim=attributes["axis"]),
    "Conv": _conv,
    "Dropout": lambda attributes, x, *_: x,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average_pool,
    "Identity": lambda attributes, x: x,
    "MatMul": lambda attributes, x, y: x @ y,
    "MaxPool": lambda attributes, x: F.max_pool2d(x, **_pooling(attributes)),
    "Mul": lambda attributes, x, y: x * y,
    "PRelu": _prelu,
    "Relu": lambda attributes, x: torch.relu(x),
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": _shape,
    "Sigmoid": lambda attributes, x: torch.sigmoid(x),
    "Slice": _slice,
    "Transpose": lambda attributes, x: x.permute(*attributes["perm"]),
    "Unsqueeze": _unsqueeze,
}
"""By ONNX name."""
