"""`umo evaluate compare`: what people and programs read, and errors on one line."""

import json
from pathlib import Path

import pytest

from services.scored_models import random_items, write_scored
from umo.errors import ExitCode
from umo_cli import main

FAST = ("--set", "resamples=50", "--set", "gallery=2")


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    return [
        str(write_scored(tmp_path / label, label, random_items(level, seed=1)))
        for label, level in {"base": 0.2, "tuned": 0.6}.items()
    ]


def test_people_get_a_table_and_the_verdict(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main.execute(["evaluate", "compare", *folders, "--out", str(out), *FAST]) == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("tuned is ") for line in lines)
    assert any(line.split()[:3] == ["UMO", "on", "UNO"] for line in lines)
    assert (out / "report.html").is_file()


def test_programs_get_json_with_other_labels_and_definition(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", "compare", folders[0], f"new={folders[1]}", *FAST]
    arguments += ["--out", str(tmp_path / "out"), "--definition", "scripts", "-o", "json"]
    assert main.execute(arguments) == ExitCode.OK
    result = json.loads(capsys.readouterr().out)
    assert set(result["models"]) == {"base", "new"}
    assert result["config"]["definition"] == "scripts"
    assert result["verdict"].startswith("new ")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere"], ExitCode.NOT_FOUND, "nowhere has no manifest.json"),
        (["{0}", "{0}"], ExitCode.USAGE, "two models have one label: base, base"),
        (["{0}", "--definition", "mine"], ExitCode.USAGE, "definition"),
        (["{0}", "--pictures", "other={0}"], ExitCode.USAGE, "no model is called other"),
        (["{0}", "--references", "nowhere"], ExitCode.NOT_FOUND, "no folder of pictures"),
        (["{0}", "--set", "resamples=0"], ExitCode.USAGE, "resamples is 0"),
    ],
)
def test_errors(
    arguments: list[str],
    code: ExitCode,
    message: str,
    folders: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [argument.format(*folders) for argument in arguments]
    assert main.execute(["evaluate", "compare", *given, "--out", str(tmp_path / "out")]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "out").exists()
