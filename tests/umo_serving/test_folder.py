import stat
from pathlib import Path

import pytest

from umo.errors import DiffersError, NotFoundError, UsageError
from umo.files import read_manifest
from umo_serving.folder import Folder, Settings


def test_a_prepared_folder_has_what_triton_needs(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.prepare(Settings(http_port=1234))
    assert folder.settings() == Settings(http_port=1234)
    assert folder.repository.is_dir()


def test_the_admin_key_is_the_owners_and_stays(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    key = folder.admin_key()
    assert len(key) >= 40
    assert stat.S_IMODE((tmp_path / "admin.key").stat().st_mode) == 0o600
    folder.prepare(Settings())
    assert folder.admin_key() == key
    other = tmp_path / "other"
    other.mkdir()
    assert Folder(other).admin_key() != key


def test_a_staged_model_is_the_one_that_was_given(tmp_path: Path, trained: Path) -> None:
    folder = Folder(tmp_path / "serving")
    (trained / "notes.txt").write_text("not in the manifest")
    assert folder.stage(trained, version="3", base="embedded", pack="open") == "umo_v3"
    staged = folder.repository / "umo_v3"
    assert read_manifest(staged / "model", verify=True) == read_manifest(trained)
    assert not (staged / "model" / "notes.txt").exists()
    assert (staged / "config.pbtxt").is_file()
    assert (staged / "1" / "model.py").is_file()
    assert folder.versions() == ["3"]
    folder.remove("3")
    assert folder.versions() == []


def test_a_changed_model_is_not_staged(tmp_path: Path, trained: Path) -> None:
    folder = Folder(tmp_path / "serving")
    with (trained / "lora.safetensors").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(DiffersError, match=r"lora\.safetensors"):
        folder.stage(trained, version="3", base="embedded", pack="open")
    assert not list(folder.path.rglob("umo_v3"))


@pytest.mark.parametrize("version", ["", "../x", "a b", "1/2"])
def test_a_version_that_is_no_name_is_refused(tmp_path: Path, trained: Path, version: str) -> None:
    with pytest.raises(UsageError, match="cannot be a version"):
        Folder(tmp_path).stage(trained, version=version, base="embedded", pack="open")


def test_one_runs_the_server(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert folder.running() is None
    with folder.held():
        assert folder.running()
        with pytest.raises(UsageError, match="runs already"), folder.held():
            pass
    assert folder.running() is None


def test_no_server_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="start one with `umo serve up`"):
        Folder(tmp_path).settings()
