import json
import stat
from pathlib import Path

import pytest

import umo
from umo.errors import DiffersError, NotFoundError, UsageError
from umo.files import read_manifest
from umo_serving.folder import SERVED, Folder, Settings, base_of


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
    assert (
        folder.stage(trained, version="3", bases=[str(trained.parent / "base")], pack="open")
        == "umo_v3"
    )
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
        folder.stage(trained, version="3", bases=[str(trained.parent / "base")], pack="open")
    assert not list(folder.path.rglob("umo_v3"))


@pytest.mark.parametrize("version", ["", "../x", "a b", "1/2"])
def test_a_version_that_is_no_name_is_refused(tmp_path: Path, trained: Path, version: str) -> None:
    with pytest.raises(UsageError, match="cannot be a version"):
        Folder(tmp_path).stage(trained, version=version, bases=["embedded"], pack="open")


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


def test_a_model_gets_the_base_that_it_was_tuned_on(tmp_path: Path, trained: Path) -> None:
    folder, own = Folder(tmp_path / "serving"), trained.parent / "base"
    folder.stage(trained, version="3", bases=["embedded", str(own)], pack="open", weights="int8")
    facts = json.loads((folder.repository / "umo_v3" / SERVED).read_text())
    assert facts == {"version": "3", "base": str(own), "pack": "open", "weights": "int8"}
    wanted = read_manifest(trained)["base"]["digest"]
    with pytest.raises(DiffersError, match=f"tuned on base {wanted}, known is embedded with"):
        folder.stage(trained, version="4", bases=["embedded"], pack="open")
    assert folder.versions() == ["3"]


def test_a_base_is_named_by_its_whole_path(
    tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.parent)
    assert base_of(read_manifest(trained), ["base"]) == str(trained.parent / "base")
    shipped = read_manifest(Path(umo.__file__).parent / "assets" / "reference")
    assert base_of(shipped, ["base", "embedded"]) == "embedded"
    with pytest.raises(NotFoundError, match="has no manifest"):
        base_of(shipped, ["nowhere"])
