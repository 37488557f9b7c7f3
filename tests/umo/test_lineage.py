from pathlib import Path

import pytest

from umo import lineage
from umo.errors import DiffersError
from umo.files import read_manifest, write_manifest


def test_every_input_changes_the_identity() -> None:
    names = {
        lineage.identity({"lr": 1}),
        lineage.identity({"lr": 2}),
        lineage.identity({"lr": 1}, data={"tune": "d"}),
        lineage.identity({"lr": 1}, base="b"),
    }
    assert len(names) == 4
    assert lineage.identity({"lr": 1}) in names


def test_sealed_folder_is_found_again_until_a_file_changes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    write_manifest(tmp_path, {"kind": "text"})
    digest = lineage.seal(tmp_path, "name")

    found = lineage.finished(tmp_path, "name")
    assert found is not None
    assert (found["kind"], found["digest"]) == ("text", digest)
    assert lineage.finished(tmp_path, "other") is None

    (tmp_path / "a.txt").write_text("two")
    assert lineage.finished(tmp_path, "name") is None


def test_unfinished_folder_is_not_found(tmp_path: Path) -> None:
    assert lineage.finished(tmp_path, "name") is None
    (tmp_path / "manifest.json").write_text("{")
    assert lineage.finished(tmp_path, "name") is None


def test_another_digest_than_promised_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    lineage.expect(tmp_path, lineage.seal(tmp_path, "name"))
    with pytest.raises(DiffersError, match=read_manifest(tmp_path)["digest"]):
        lineage.expect(tmp_path, "0" * 64)
