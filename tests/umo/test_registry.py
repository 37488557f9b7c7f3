from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from umo.errors import DiffersError, UsageError
from umo.files import read_manifest, sha256, write_manifest
from umo.registry import register
from umo.tracking import Run


def model(folder: Path, value: float) -> Path:
    folder.mkdir()
    save_file({"weight": torch.full((2,), value)}, folder / "lora.safetensors")
    write_manifest(folder, {"kind": "lora"})
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run.open(tmp_path_factory.mktemp("store"), name="a run", identity="i")


def test_same_weights_are_one_version(run: Run, tmp_path: Path) -> None:
    folder = model(tmp_path / "a", 1.0)
    first = register(run, folder, name="people")
    again = register(run, folder, name="people")
    other = register(run, model(tmp_path / "b", 2.0), name="people")

    assert (first.model, first.version, first.created) == ("people-candidates", 1, True)
    assert (again.version, again.created) == (1, False)
    assert other.version == 2
    assert first.digest == sha256(folder / "lora.safetensors")


def test_changed_byte_is_refused_by_name(run: Run, tmp_path: Path) -> None:
    folder = model(tmp_path / "a", 1.0)
    with (folder / "lora.safetensors").open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"\xff")
    with pytest.raises(DiffersError, match=r"lora\.safetensors has sha256"):
        register(run, folder, name="broken")


def test_folder_without_weights_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no weights")
    write_manifest(tmp_path, {})
    with pytest.raises(UsageError, match=r"no \*\.safetensors"):
        register(run, tmp_path, name="empty")


def test_files_of_a_version_verify(run: Run, tmp_path: Path) -> None:
    version = register(run, model(tmp_path / "a", 3.0), name="verified")
    stored = Path(version.uri.removeprefix("file://"))
    assert read_manifest(stored, verify=True)["kind"] == "lora"
