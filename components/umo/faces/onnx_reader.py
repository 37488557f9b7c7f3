"""A small reader of ONNX face networks as differentiable torch modules.

It knows the operators of the ArcFace embedders (iresnet, MobileFaceNet and their kin) and of the
SCRFD detectors. A graph with another operator is refused by name. A graph is kept as plain data:
its nodes as JSON and its weights as tensors, so that it can be stored as a safetensors file and
read back without the `onnx` package.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from umo.errors import NotFoundError, UsageError
from umo.files import atomic_path

Attributes = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operator of a graph."""

    op: str
    """Name of the ONNX operator."""
    inputs: tuple[str, ...]
    """Names of values and weights; an empty name is an absent input."""
    output: str
    """Name of the value it computes."""
    attributes: dict[str, Any]
    """Plain ONNX attributes."""


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A network as plain data."""

    nodes: tuple[Node, ...]
    """Operators in the order of computation."""
    weights: dict[str, Tensor]
    """Constants by name."""
    input: str
    """Name of the input."""
    side: int
    """Width of the pictures it was exported for, pixels; 0 if any will do."""
    outputs: tuple[str, ...]
    """Names of the outputs."""


def read_onnx(path: Path) -> Graph:
    """Read an `.onnx` file.

    Raises:
        NotFoundError: The file does not exist.
        UsageError: It is not ONNX, has several inputs, or an unknown operator.
    """
    import onnx

    graph = _load(path)
    weights = {item.name: _tensor(item) for item in graph.initializer}
    inputs = [item for item in graph.input if item.name not in weights]
    if len(inputs) != 1:
        raise UsageError(f"{path} has {len(inputs)} inputs, a face network has one")
    nodes = []
    for item in graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in item.attribute}
        if item.op_type == "Constant":
            weights[item.output[0]] = _tensor(attributes["value"])
            continue
        if item.op_type not in _OPERATORS:
            raise UsageError(
                f"{path} uses the operator {item.op_type}",
                hint=f"known operators: {', '.join(sorted(_OPERATORS))}",
            )
        plain = {
            name: value.decode() if isinstance(value, bytes) else value
            for name, value in attributes.items()
        }
        node = Node(
            op=item.op_type, inputs=tuple(item.input), output=item.output[0], attributes=plain
        )
        nodes.append(node)
    return Graph(
        nodes=tuple(nodes),
        weights=weights,
        input=inputs[0].name,
        side=inputs[0].type.tensor_type.shape.dim[-1].dim_value,
        outputs=tuple(item.name for item in graph.output),
    )


def signature(path: Path) -> tuple[int, int]:
    """Width of the input of an `.onnx` file (0 if any will do) and its number of outputs.

    Raises:
        NotFoundError: The file does not exist.
        UsageError: It is not ONNX.
    """
    graph = _load(path)
    return graph.input[0].type.tensor_type.shape.dim[-1].dim_value, len(graph.output)


def save_graph(graph: Graph, path: Path, extra: Mapping[str, Tensor]) -> None:
    """Write a graph as safetensors: `weights.*`, nodes in the header, and the `extra` tensors."""
    header = {
        "graph": json.dumps(
            {
                "nodes": [asdict(node) for node in graph.nodes],
                "input": graph.input,
                "side": graph.side,
                "outputs": graph.outputs,
            }
        )
    }
    tensors = {f"weights.{name}": value.contiguous() for name, value in graph.weights.items()}
    with atomic_path(path) as staged:
        save_file({**tensors, **extra}, staged, metadata=header)


def load_graph(path: Path) -> tuple[Graph, dict[str, Tensor]]:
    """Read what `save_graph` wrote: the graph and the extra tensors."""
    with safe_open(path, framework="pt") as stored:
        plain = json.loads(stored.metadata()["graph"])
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    nodes = tuple(
        Node(
            op=node["op"],
            inputs=tuple(node["inputs"]),
            output=node["output"],
            attributes=node["attributes"],
        )
        for node in plain["nodes"]
    )
    prefix = "weights."
    weights = {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
    extra = {name: value for name, value in tensors.items() if not name.startswith(prefix)}
    graph = Graph(
        nodes=nodes,
        weights=weights,
        input=plain["input"],
        side=plain["side"],
        outputs=tuple(plain["outputs"]),
    )
    return graph, extra


class GraphModule(nn.Module):
    """Runs a graph with torch operators; its weights are buffers, without gradient."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self._slots = {name: f"weight_{index}" for index, name in enumerate(graph.weights)}
        for name, slot in self._slots.items():
            self.register_buffer(slot, _without_denormals(graph.weights[name]))

    def forward(self, images: Tensor) -> Tensor:
        """The graph's first output for `images` `[n,3,H,W]`."""
        return self.run(images)[0]

    def run(self, images: Tensor) -> list[Tensor]:
        """All outputs of the graph, in its order."""
        values = {name: self.get_buffer(slot) for name, slot in self._slots.items()}
        values[self.graph.input] = images
        for node in self.graph.nodes:
            inputs = [values[name] if name else None for name in node.inputs]
            values[node.output] = _OPERATORS[node.op](node.attributes, *inputs)
        return [values[name] for name in self.graph.outputs]


def _load(path: Path) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    if not path.is_file():
        raise NotFoundError(f"no ONNX file at {path}")
    try:
        graph = onnx.load(str(path)).graph
    except DecodeError as error:
        raise UsageError(f"{path} is not an ONNX file") from error
    if not graph.input:
        raise UsageError(f"{path} is not an ONNX network, it has no input")
    return graph


def _tensor(item: Any) -> Tensor:
    import onnx

    return torch.from_numpy(onnx.numpy_helper.to_array(item).copy())


def _without_denormals(weight: Tensor) -> Tensor:
    if not weight.is_floating_point():
        return weight
    return torch.where(weight.abs() < torch.finfo(weight.dtype).tiny, 0.0, weight)


def _padded(attributes: Attributes, x: Tensor, value: float = 0.0) -> Tensor:
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    return (
        F.pad(x, (left, right, top, bottom), value=value) if top or left or bottom or right else x
    )


def _conv(attributes: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.conv2d(
        _padded(attributes, x),
        weight,
        bias,
        stride=tuple(attributes.get("strides", (1, 1))),
        dilation=tuple(attributes.get("dilations", (1, 1))),
        groups=attributes.get("group", 1),
    )


def _prelu(attributes: Attributes, x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x >= 0, x, slope * x)


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


_OPERATORS: dict[str, Callable[..., Tensor]] = {
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
