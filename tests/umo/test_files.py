import errno
import json
from pathlib import Path

import pytest

from umo import files
from umo.errors import DiffersError, NotFoundError, UmoError


def write_to_full_disk(path: Path) -> None:
    path.write_text("half")
    raise OSError(errno.ENOSPC, "No space left on device")


def test_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    files.write_text(path, "first")
    with (
        pytest.raises(UmoError, match=r"a\.txt.*No space left.*free space"),
        files.atomic_path(path) as staged,
    ):
        write_to_full_disk(staged)
    assert path.read_text() == "first"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.txt"]


def test_what_killed_writers_left_is_removed(tmp_path: Path) -> None:
    for name in (".lora.safetensors.x7_2k", ".tmp0o7AHB", "lora.safetensors", ".hidden"):
        (tmp_path / name).write_text("1")
    files.remove_staged(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".hidden", "lora.safetensors"]


def test_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with files.atomic_folder(folder) as staged:
        (staged / "old").write_text("1")
    with pytest.raises(UmoError, match="No space left"), files.atomic_folder(folder) as staged:
        write_to_full_disk(staged / "half")
    assert [entry.name for entry in folder.iterdir()] == ["old"]
    with files.atomic_folder(folder) as staged:
        (staged / "new").write_text("3")
    assert [entry.name for entry in folder.iterdir()] == ["new"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]


def test_unwritable_parent_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UmoError, match="cannot write"):
        files.write_text(tmp_path / "file" / "a.txt", "x")
    with (
        pytest.raises(UmoError, match="cannot write"),
        files.atomic_folder(tmp_path / "file" / "b"),
    ):
        pass


def test_other_errors_pass_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), files.atomic_folder(tmp_path / "run"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def closed_folder(folder: Path) -> str:
    (folder / "sub").mkdir(parents=True)
    (folder / "a.bin").write_bytes(b"a")
    (folder / "sub" / "b.bin").write_bytes(b"b")
    return files.write_manifest(folder, {"kind": "test"})


def test_manifest_digest_is_of_the_content(tmp_path: Path) -> None:
    first = closed_folder(tmp_path / "one")
    assert files.write_manifest(tmp_path / "one", {"kind": "other"}) == first
    assert closed_folder(tmp_path / "two") == first
    manifest = files.read_manifest(tmp_path / "two", verify=True)
    assert manifest["kind"] == "test"
    assert manifest["digest"] == first
    assert sorted(manifest["files"]) == ["a.bin", "sub/b.bin"]


def test_changed_and_missing_files_differ(tmp_path: Path) -> None:
    closed_folder(tmp_path / "one")
    (tmp_path / "one" / "a.bin").write_bytes(b"c")
    files.read_manifest(tmp_path / "one")
    with pytest.raises(DiffersError, match=r"a\.bin has sha256 .*manifest says"):
        files.read_manifest(tmp_path / "one", verify=True)
    (tmp_path / "one" / "a.bin").unlink()
    with pytest.raises(DiffersError, match=r"a\.bin has sha256 missing"):
        files.read_manifest(tmp_path / "one", verify=True)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"files": {}, "digest": "0"}'])
def test_foreign_manifests_differ(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DiffersError, match=r"manifest\.json"):
        files.read_manifest(tmp_path)


def test_edited_list_of_files_differs(tmp_path: Path) -> None:
    closed_folder(tmp_path / "one")
    path = tmp_path / "one" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["files"]["a.bin"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(DiffersError, match="says digest"):
        files.read_manifest(tmp_path / "one")


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no manifest\.json"):
        files.read_manifest(tmp_path)
