import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from umo.files import write_manifest
from umo_cli import output


def test_work_goes_to_stderr_and_the_result_to_stdout() -> None:
    code = (
        "import os, subprocess, umo_cli.output as o\n"
        "with o.work_on_stderr():\n"
        "    print('python'); os.system('echo child'); os.write(1, b'descriptor\\n')\n"
        "o.print_json({'a': 1})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"a": 1}
    assert sorted(done.stderr.split()) == ["child", "descriptor", "python"]


def test_json_knows_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json({"a": math.nan, "b": [math.inf, 1.5], "c": Path("x"), "d": (True, None)})
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"a": None, "b": [None, 1.5], "c": "x", "d": [True, None]}


def test_table_wraps_at_80_columns_and_loses_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    digest = "0123456789abcdef" * 8
    output.print_table([["digest", digest], ["[bold]", 0.123456]], header=["name", "value"])
    printed = capsys.readouterr().out
    assert all(len(line) <= 80 for line in printed.splitlines())
    assert digest in "".join(printed.replace("digest", "").split())
    assert "[bold]" in printed
    assert "0.1235" in printed


@pytest.mark.parametrize(
    ("value", "cell"), [(None, ""), (True, "yes"), (0.000123456, "0.0001235"), (12, "12")]
)
def test_cells(value: object, cell: str) -> None:
    assert output.text(value) == cell


def test_manifest_without_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").write_text("1")
    digest = write_manifest(tmp_path, {"kind": "test", "config": {"seed": 1}})
    output.print_manifest(tmp_path, "json")
    assert json.loads(capsys.readouterr().out) == {
        "folder": str(tmp_path),
        "kind": "test",
        "config": {"seed": 1},
        "digest": digest,
    }
    output.print_manifest(tmp_path, "table")
    assert "config" not in capsys.readouterr().out


def test_progress_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with output.progress_bar("train") as update:
        update({"done": 1, "total": 2, "phase": "encode"})
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_facts_are_never_broken(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/a" * 100
    output.print_facts({"look at": path, "a": 1})
    assert capsys.readouterr().out.splitlines() == [f"look at  {path}", "a        1"]
