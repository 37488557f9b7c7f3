import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from PIL import Image
from torch import Tensor, nn

from umo.data.render import RenderConfig, render_samples
from umo.data.schema import Sample
from umo.faces.convert import convert
from umo.faces.irse import IrSe50
from umo.faces.packs import FacePack, load_pack
from umo.faces.published import NETWORKS
from umo.faces.retinaface_network import RetinaFaceNetwork

XVERSEBENCH = Path(__file__).parents[4] / "shared" / "xversebench" / "human"


@pytest.fixture(scope="session")
def pack() -> FacePack:
    return load_pack("open")


@pytest.fixture(scope="session")
def samples() -> list[Sample]:
    return list(render_samples(RenderConfig(split="held-out", samples=3, people={2: 1.0})))


@pytest.fixture(scope="session")
def scenes(samples: list[Sample]) -> Tensor:
    """`[3,H,W,3]` uint8, two people each."""
    return torch.stack([torch.from_numpy(sample.target) for sample in samples])


@pytest.fixture(scope="session")
def pictures(scenes: Tensor) -> Tensor:
    """The scenes `[3,3,H,W]` in -1..1."""
    return scenes.permute(0, 3, 1, 2).float() / 127.5 - 1


@pytest.fixture(scope="session")
def photographs() -> list[Tensor]:
    """Pictures `[3,H,W]` of different people, in -1..1."""
    files = sorted(XVERSEBENCH.glob("*.jpg"))
    if not files:
        pytest.skip("the reference pictures of XVerseBench are not here")
    loaded = []
    for file in files:
        with Image.open(file) as picture:
            picture.thumbnail((384, 384))
            pixels = torch.from_numpy(np.array(picture.convert("RGB")))
        loaded.append(pixels.permute(2, 0, 1).float() / 127.5 - 1)
    return loaded


@pytest.fixture(scope="session")
def arcface() -> Callable[..., Path]:
    """Writes a small network of ArcFace's operators and interface (an iresnet of one block)."""

    def write(path: Path, seed: int = 0, dim: int = 16) -> Path:
        net = Network(seed)
        x = net.prelu(net.conv("images", 3, 8, stride=2), 8)
        shortcut = net.conv(x, 8, 12, kernel=1, stride=2)
        y = net.prelu(net.conv(net.batch_norm(x, 8), 8, 12), 12)
        y = net.conv(y, 12, 12, stride=2)
        x = net.batch_norm(net.add("Add", [y, shortcut]), 12)
        x = net.add("MaxPool", [x], kernel_shape=[4, 4], strides=[4, 4])
        x = net.add("Flatten", [x], axis=1)
        x = net.add(
            "Gemm", [x, net.weight(dim, 12 * 7 * 7), net.weight(dim)], transB=1, alpha=1.0, beta=1.0
        )
        return net.save(path, [net.batch_norm(x, dim)], side=112)

    return write


@pytest.fixture(scope="session")
def scrfd() -> Callable[..., Path]:
    """Writes a small network of SCRFD's operators and outputs, for pictures of any size."""

    def write(path: Path, seed: int = 0) -> Path:
        net = Network(seed)
        x = net.add("Relu", [net.conv("images", 3, 8, stride=2)])
        x = net.add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        levels = []
        for _ in range(3):
            pool = {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}
            shortcut = net.conv(net.add("AveragePool", [x], **pool), 8, 8, kernel=1)
            x = net.add("Relu", [net.add("Add", [net.conv(x, 8, 8, stride=2), shortcut])])
            levels.append(x)
        for index in (1, 0):
            levels[index] = net.add(
                "Add", [levels[index], net.resized_to(levels[index + 1], levels[index])]
            )
        heads: list[list[str]] = [[], [], []]
        for level in levels:
            for part, columns in enumerate((1, 4, 10)):
                head = net.conv(level, 8, 2 * columns)
                head = net.add("Transpose", [head], perm=[2, 3, 0, 1])
                head = net.add("Reshape", [head, net.constant([-1, columns])])
                heads[part].append(net.add("Sigmoid", [head]) if columns == 1 else head)
        return net.save(path, [*heads[0], *heads[1], *heads[2]], side=None)

    return write


@pytest.fixture(scope="session")
def random_weights() -> Callable[..., dict[str, Tensor]]:
    """A state dict of a network, under which what it says of noise stays between 0.01 and 100."""

    def make(build: Callable[[], nn.Module], seed: int = 0) -> dict[str, Tensor]:
        with torch.device("meta"):
            shapes = {name: value.shape for name, value in build().state_dict().items()}
        generator = torch.Generator().manual_seed(seed)
        weights = {}
        for name, shape in shapes.items():
            noise = torch.randn(shape, generator=generator)
            if name.endswith("num_batches_tracked"):
                weights[name] = torch.tensor(1000)
            elif len(shape) > 1:
                weights[name] = noise * (2 / shape[1:].numel()) ** 0.5
            elif name.endswith("weight"):
                weights[name] = 0.5 + 0.1 * noise
            else:
                weights[name] = 0.1 * noise + name.endswith("running_var")
        return weights

    return make


@pytest.fixture(scope="session")
def originals(
    random_weights: Callable[..., dict[str, Tensor]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Checkpoints with the public names and forms, random, in half precision."""
    folder = tmp_path_factory.mktemp("originals")
    for seed, network in enumerate(NETWORKS.values()):
        weights = random_weights(network.build, seed)
        half = {name: value.half() for name, value in weights.items() if value.dim()}
        if network.build is RetinaFaceNetwork:
            half = {f"module.{name}": value for name, value in half.items()}
            half["module.body.bn1.num_batches_tracked"] = torch.tensor(5)
        torch.save(
            {"state_dict": half} if network.build is IrSe50 else half,
            folder / network.originals[-1],
        )
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def converted(originals: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What `umo faces convert` makes of them."""
    folder = tmp_path_factory.mktemp("published") / "pack"
    convert(originals, folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def batch_norm() -> Callable[[str, int], dict[str, tuple[int, ...]]]:
    """Names and shapes of a batch normalisation in a published state dict."""

    def names(prefix: str, width: int) -> dict[str, tuple[int, ...]]:
        parts = ("weight", "bias", "running_mean", "running_var")
        return {f"{prefix}.{part}": (width,) for part in parts}

    return names


class Network:
    """Builds a random ONNX network operator by operator."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, op: str, inputs: list[str], **attributes: object) -> str:
        name = f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def constant(self, values: object) -> str:
        array = np.asarray(values)
        kind = np.int64 if array.dtype.kind == "i" else np.float32
        name = f"weight_{len(self.weights)}"
        self.weights.append(onnx.numpy_helper.from_array(array.astype(kind), name))
        return name

    def weight(self, *shape: int) -> str:
        fan_in = float(np.prod(shape[1:]))
        return self.constant(self.random.standard_normal(shape) / np.sqrt(fan_in))

    def conv(self, x: str, width_in: int, width: int, kernel: int = 3, stride: int = 1) -> str:
        weights = [self.weight(width, width_in, kernel, kernel), self.weight(width)]
        layout = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [kernel // 2] * 4}
        return self.add("Conv", [x, *weights], **layout)

    def prelu(self, x: str, width: int) -> str:
        return self.add("PRelu", [x, self.weight(width, 1, 1)])

    def batch_norm(self, x: str, width: int) -> str:
        variance = self.constant(self.random.uniform(0.5, 2.0, width))
        parts = [self.weight(width), self.weight(width), self.weight(width), variance]
        return self.add("BatchNormalization", [x, *parts], epsilon=2e-5)

    def resized_to(self, x: str, like: str) -> str:
        """The chain that torch exports for `interpolate(x, size=like.shape[2:])`."""
        places = [
            self.add("Unsqueeze", [self.add("Gather", [shape, self.constant(axis)])], axes=[0])
            for axis, shape in ((axis, self.add("Shape", [like])) for axis in (2, 3))
        ]
        size = self.add("Cast", [self.add("Concat", places, axis=0)], to=onnx.TensorProto.INT64)
        bounds = [self.constant(values) for values in ([0], [2], [0])]
        first = self.add("Slice", [self.add("Shape", [x]), *bounds])
        sizes = self.add("Concat", [first, size], axis=0)
        layout = {"mode": "nearest", "nearest_mode": "floor"}
        rule = "asymmetric"
        absent = [self.constant(np.zeros(0)) for _ in range(2)]
        return self.add(
            "Resize", [x, *absent, sizes], coordinate_transformation_mode=rule, **layout
        )

    def save(self, path: Path, outputs: list[str], *, side: int | None) -> Path:
        kind = onnx.TensorProto.FLOAT
        shape = ["batch", 3, side or "height", side or "width"]
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("images", kind, shape)],
            [helper.make_tensor_value_info(name, kind, None) for name in outputs],
            self.weights,
        )
        opset = [helper.make_opsetid("", 11)]
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=6), str(path))
        return path
