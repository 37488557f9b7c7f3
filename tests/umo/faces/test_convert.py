import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from umo.errors import DiffersError, NotFoundError, UsageError
from umo.faces.convert import convert
from umo.faces.published import NETWORKS
from umo.files import read_manifest, sha256


class Command:
    """Runs a program when it is unpickled."""

    def __init__(self, program: str) -> None:
        self.program = program

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.program,)


def test_every_network_is_written_with_licence_and_origin(originals: Path, converted: Path) -> None:
    manifest = read_manifest(converted, verify=True)
    assert manifest["kind"] == "face pack"
    assert manifest["commercial"] is False
    assert manifest["licences"] == {role: known.licence for role, known in NETWORKS.items()}
    assert manifest["files"].keys() == {known.file for known in NETWORKS.values()}
    used = {path.name: sha256(path) for path in originals.iterdir()}
    assert manifest["originals"] == used
    with safe_open(converted / NETWORKS["detector"].file, framework="pt") as stored:
        names = set(stored.keys())
    assert "body.conv1.weight" in names
    assert not [name for name in names if name.startswith("module.") or "tracked" in name]


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    for content in (
        pickle.dumps({"input_layer.0.weight": Command(f"touch {mark}")}, protocol=2),
        b"not a checkpoint",
    ):
        (tmp_path / "model_ir_se50.pth").write_bytes(content)
        with pytest.raises(UsageError, match=r"model_ir_se50\.pth is no checkpoint of tensors"):
            convert(tmp_path, tmp_path / "pack")
    assert not mark.exists()
    assert not (tmp_path / "pack").exists()


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "glint_cosface_res50.pth")
    with pytest.raises(DiffersError, match=r"does not fit IResNet50: missing: bn1\.bias, .* more$"):
        convert(tmp_path, tmp_path / "pack")
    torch.save([torch.zeros(1)], tmp_path / "glint_cosface_res50.pth")
    with pytest.raises(UsageError, match="holds no state dict"):
        convert(tmp_path, tmp_path / "pack")
    assert not (tmp_path / "pack").exists()


def test_wrong_folders(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no folder"):
        convert(tmp_path / "nowhere", tmp_path / "pack")
    with pytest.raises(NotFoundError, match=r"none of the public files; they are Resnet50_Final"):
        convert(tmp_path, tmp_path / "pack")
    with pytest.raises(UsageError, match="another folder"):
        convert(tmp_path, tmp_path)
