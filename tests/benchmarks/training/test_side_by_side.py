"""The plain loop and ours compute the same; what the benchmark compares is only the way."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

SCRIPT = Path(__file__).with_name("side_by_side.py")


@pytest.fixture(scope="module")
def benchmark() -> Any:
    spec = importlib.util.spec_from_file_location("side_by_side", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_both_ways_have_the_same_gradient(benchmark: Any, tmp_path: Path) -> None:
    bench = benchmark.Bench.make(tmp_path / "data", samples=2)
    config = benchmark.replace(benchmark.CONFIG, batch=2)
    losses, gradients = [], []
    for way in (bench.plain, bench.ours):
        losses.append(way(config, 3))
        gradients.append(bench.gradient())
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert torch.cosine_similarity(*gradients, dim=0) > 0.999
    norms = [gradient.norm().item() for gradient in gradients]
    assert norms[0] == pytest.approx(norms[1], rel=1e-2)
