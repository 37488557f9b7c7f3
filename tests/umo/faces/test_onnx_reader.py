from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from umo.errors import NotFoundError, UsageError
from umo.faces.onnx_reader import GraphModule, load_graph, read_onnx, save_graph, signature

Writer = Callable[[Path], Path]


def run_original(path: Path, images: torch.Tensor) -> list[np.ndarray]:
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    outputs: list[np.ndarray] = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    return outputs


def test_an_arcface_network_equals_onnxruntime(tmp_path: Path, arcface: Writer) -> None:
    path = arcface(tmp_path / "arcface.onnx")
    images = torch.rand(3, 3, 112, 112, generator=torch.Generator().manual_seed(0)) * 2 - 1
    (expected,) = run_original(path, images)
    measured = GraphModule(read_onnx(path))(images)
    np.testing.assert_allclose(measured.numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("size", [(64, 64), (96, 160)])
def test_an_scrfd_network_equals_onnxruntime(
    tmp_path: Path, scrfd: Writer, size: tuple[int, int]
) -> None:
    path = scrfd(tmp_path / "det.onnx")
    images = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    measured = GraphModule(read_onnx(path)).run(images)
    for ours, theirs in zip(measured, run_original(path, images), strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-4)


def test_a_graph_survives_storage(tmp_path: Path, arcface: Writer) -> None:
    graph = read_onnx(arcface(tmp_path / "arcface.onnx"))
    save_graph(graph, tmp_path / "arcface.safetensors", {"mean": torch.ones(3)})
    again, extra = load_graph(tmp_path / "arcface.safetensors")
    images = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    assert torch.equal(GraphModule(again)(images), GraphModule(graph)(images))
    assert extra["mean"].tolist() == [1, 1, 1]


def test_a_graph_has_gradient_in_its_input_only(tmp_path: Path, arcface: Writer) -> None:
    module = GraphModule(read_onnx(arcface(tmp_path / "arcface.onnx")))
    images = torch.rand(1, 3, 112, 112, requires_grad=True)
    module(images).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert not list(module.parameters())


def test_denormal_weights_become_zero(tmp_path: Path, arcface: Writer) -> None:
    path = arcface(tmp_path / "arcface.onnx")
    model = onnx.load(str(path))
    weight = onnx.numpy_helper.to_array(model.graph.initializer[0]).copy()
    weight.flat[:2] = 1e-40
    model.graph.initializer[0].CopyFrom(
        onnx.numpy_helper.from_array(weight, model.graph.initializer[0].name)
    )
    onnx.save(model, str(path))
    (first, *_) = GraphModule(read_onnx(path)).buffers()
    assert first.flatten()[:3].tolist() == [0.0, 0.0, pytest.approx(float(weight.flat[2]))]


def test_an_unknown_operator_is_named(tmp_path: Path, arcface: Writer) -> None:
    path = arcface(tmp_path / "arcface.onnx")
    model = onnx.load(str(path))
    model.graph.node[1].op_type = "Einsum"
    onnx.save(model, str(path))
    with pytest.raises(UsageError, match="Einsum"):
        read_onnx(path)


def test_files_that_are_not_onnx(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no ONNX file"):
        signature(tmp_path / "missing.onnx")
    (tmp_path / "text.onnx").write_text("this is no network")
    with pytest.raises(UsageError, match="not an ONNX"):
        read_onnx(tmp_path / "text.onnx")
