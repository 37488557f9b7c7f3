from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from services.mlflow_server import Registry as MlflowServer
from umo.errors import DiffersError, NotFoundError, UsageError
from umo.files import MANIFEST, read_manifest, sha256, write_manifest
from umo.registry import CHAMPION, MANIFEST_TAG, Registry, candidates
from umo.store import Store
from umo.tracking import Run


def model(folder: Path, value: float) -> Path:
    folder.mkdir()
    save_file({"weight": torch.full((2,), value)}, folder / "lora.safetensors")
    write_manifest(folder, {"kind": "lora"})
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.local(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def registry(store: Store) -> Registry:
    return Registry(store)


@pytest.fixture(scope="module")
def run(store: Store) -> Run:
    return Run.open(store, name="a run", identity="i")


def test_same_weights_are_one_version(registry: Registry, run: Run, tmp_path: Path) -> None:
    folder = model(tmp_path / "a", 1.0)
    name = candidates("people")
    first = registry.register(run, folder, model=name)
    again = registry.register(run, folder, model=name)
    other = registry.register(run, model(tmp_path / "b", 2.0), model=name, tags={"of": "b"})

    assert (first.title, first.run) == ("people-candidates 1", run.id)
    assert again == first
    assert other.version == 2
    assert first.digest == sha256(folder / "lora.safetensors")
    assert first.manifest == sha256(folder / MANIFEST)
    assert registry.versions(name) == [first, other]
    assert registry.find(name, other.digest) == other
    assert registry.find(name, "0" * 64) is None
    assert registry.candidate("people", 2) == other
    assert "people" in registry.names()


def test_changed_byte_is_refused_by_name(registry: Registry, run: Run, tmp_path: Path) -> None:
    folder = model(tmp_path / "a", 1.0)
    with (folder / "lora.safetensors").open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"\xff")
    with pytest.raises(DiffersError, match=r"lora\.safetensors has sha256"):
        registry.register(run, folder, model="broken")


def test_folder_without_weights_is_refused(registry: Registry, run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no weights")
    write_manifest(tmp_path, {})
    with pytest.raises(UsageError, match=r"no \*\.safetensors"):
        registry.register(run, tmp_path, model="empty")


def test_files_of_a_version_verify(registry: Registry, run: Run, tmp_path: Path) -> None:
    version = registry.register(run, model(tmp_path / "a", 3.0), model="verified")
    with registry.files(version.run) as stored:
        assert read_manifest(stored, verify=True)["kind"] == "lora"
    assert not stored.exists()
    assert Path(registry.address(version.run, "model/lora.safetensors")).is_file()
    with pytest.raises(NotFoundError), registry.files(version.run, "nothing"):
        pass


def test_files_come_by_the_server(
    sqlite_registry: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never by a signed URL of the S3 behind it, which pods and laptops cannot reach."""
    for name, value in sqlite_registry.environment("trainer").items():
        monkeypatch.setenv(name, value)
    store = Store.of_run(tmp_path)
    run = Run.open(store, name="by the server", identity="by the server")
    registry = Registry(store)
    version = registry.register(run, model(tmp_path / "a", 8.0), model="by-the-server")
    with registry.files(version.run) as stored:
        assert read_manifest(stored, verify=True)["kind"] == "lora"
    assert "/presigned/" not in sqlite_registry.log.read_text()


def test_what_is_not_there_is_named(registry: Registry, run: Run, tmp_path: Path) -> None:
    registry.register(run, model(tmp_path / "a", 4.0), model=candidates("alone"))
    with pytest.raises(NotFoundError, match="alone-candidates has no version 2, only 1"):
        registry.candidate("alone", 2)
    with pytest.raises(NotFoundError, match="nobody-candidates has no version 1, only none"):
        registry.candidate("nobody", 1)
    with pytest.raises(UsageError, match="no model name"):
        registry.candidate("x' or name = 'y", 1)
    assert registry.aliases("nobody") == {}
    assert not registry.has_model("nobody")
    assert registry.experiment("nobody", make=False) == ""


def test_aliases_move_and_go(registry: Registry, run: Run, tmp_path: Path) -> None:
    for number in (1, 2):
        registry.register(run, model(tmp_path / str(number), 10.0 + number), model="moved")
        registry.set_alias("moved", CHAMPION, number)
    assert registry.aliases("moved") == {CHAMPION: 2}
    for _ in range(2):
        registry.drop_alias("moved", CHAMPION)
    assert registry.aliases("moved") == {}


def test_a_version_of_an_older_umo_gets_its_digest_when_registered_again(
    registry: Registry, run: Run, tmp_path: Path
) -> None:
    name, folder = candidates("older"), model(tmp_path / "a", 5.0)
    version = registry.register(run, folder, model=name)
    registry.client.delete_model_version_tag(name, "1", MANIFEST_TAG)
    with pytest.raises(DiffersError, match="older-candidates 1 has no digests"):
        registry.candidate("older", 1)
    assert registry.register(run, folder, model=name) == version
    assert registry.candidate("older", 1) == version
