"""A small reader of ONNX face networks as differentiable torch modules.

It knows the operators of the ArcFace embedders (iresnet, MobileFaceNet and their kin) and of the
SCRFD detectors. A graph with another operator is refused by name. A graph is kept as plain data:
its nodes as JSON and its weights as tensors, so that it can be stored as a safetensors file and
read back without the `onnx` package.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from umo.errors import NotFoundError, UsageError
from umo.faces.onnx_operators import OPERATORS
from umo.files import atomic_path


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
        if item.op_type not in OPERATORS:
            raise UsageError(
                f"{path} uses the operator {item.op_type}",
                hint=f"known operators: {', '.join(sorted(OPERATORS))}",
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
        last = {
            name: place for place, node in enumerate(graph.nodes) for name in node.inputs if name
        }
        self._done: list[list[str]] = [[] for _ in graph.nodes]
        for name in last.keys() - set(graph.outputs):
            self._done[last[name]].append(name)

    def forward(self, images: Tensor) -> Tensor:
        """The graph's first output for `images` `[n,3,H,W]`."""
        return self.run(images)[0]

    def run(self, images: Tensor) -> list[Tensor]:
        """All outputs of the graph, in its order; each value is let go after its last use."""
        values = {name: self.get_buffer(slot) for name, slot in self._slots.items()}
        values[self.graph.input] = images
        for node, done in zip(self.graph.nodes, self._done, strict=True):
            inputs = [values[name] if name else None for name in node.inputs]
            values[node.output] = OPERATORS[node.op](node.attributes, *inputs)
            for name in done:
                del values[name]
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
