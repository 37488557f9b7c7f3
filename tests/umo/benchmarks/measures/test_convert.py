import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from umo.benchmarks.measures.convert import convert
from umo.benchmarks.measures.dino import Dino
from umo.benchmarks.measures.measure import Painted
from umo.errors import NotFoundError, UsageError


def test_a_converted_model_says_the_same(dino: Path, painted: Painted, tmp_path: Path) -> None:
    folder = tmp_path / "dino"
    shutil.copytree(dino, folder)
    weights = load_file(folder / "model.safetensors")
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    written = convert(folder / "pytorch_model.bin", folder / "model.safetensors")
    assert written == len(weights)
    again = Dino(str(folder)).embed(painted.pictures)
    torch.testing.assert_close(again, Dino(str(dino)).embed(painted.pictures))


def test_tensors_that_share_memory_are_written_both(tmp_path: Path) -> None:
    weight = torch.arange(6.0).view(2, 3)
    torch.save({"a": weight, "b": weight.T}, tmp_path / "tied.pth")
    convert(tmp_path / "tied.pth", tmp_path / "tied.safetensors")
    stored = load_file(tmp_path / "tied.safetensors")
    assert torch.equal(stored["a"], stored["b"].T)


def test_bad_names(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"does not end in \.safetensors"):
        convert(tmp_path / "a.pth", tmp_path / "a.bin")
    with pytest.raises(NotFoundError, match="no file at"):
        convert(tmp_path / "a.pth", tmp_path / "a.safetensors")
