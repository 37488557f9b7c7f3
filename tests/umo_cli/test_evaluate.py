"""`umo evaluate`: the old invocation, the benchmarks, and what people are told."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from services.small_benchmark import Small, write_small
from umo_cli.main import execute

REFERENCE = Path(__file__).parents[2] / "components/umo/assets/reference"


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return write_small(tmp_path / "small")


def say(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = execute(["evaluate", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


def xversebench(small: Small, out: Path, *more: object) -> tuple[object, ...]:
    files = ("--items", small.items, "--references", small.references)
    return ("xversebench", *files, "--model", f"pasted={small.pictures}", "--out", out, *more)


def test_a_folder_of_pictures_is_scored(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    code, printed, error = say(capsys, *xversebench(small, out, "-o", "json"))
    assert code == 5, "the item file is of no published version"
    assert error == (
        "error: 1 things could not be scored, first of pasted: items.json its sha256 "
        f"{json.loads(printed)['version'][:12]}... is of no published version; all stand in "
        f"{out}/scores/pasted/scores.json\n"
    )
    (model,) = json.loads(printed)["models"]
    assert (model["items"], model["pictures"], model["failures"]) == (4, 16, 1)
    assert 0 < model["id_sim"] < 100
    written = sorted(path.name for path in (out / "scores/pasted").iterdir())
    assert written == [
        "id_conf_pasted.json",
        "id_conf_pasted.txt",
        "id_scores_pasted.json",
        "id_scores_pasted.txt",
        "manifest.json",
        "scores.json",
    ]
    first = (out / "scores/pasted/scores.json").read_bytes()
    next(small.pictures.glob("2_*")).unlink()
    code, printed, error = say(capsys, *xversebench(small, out))
    assert code == 5
    assert error.startswith("error: 2 things could not be scored")
    assert "pictures are not there: animal/12_wolf.jpg, object/00_motorcycle.jpg" in printed
    assert (out / "scores/pasted/scores.json").read_bytes() != first


@pytest.mark.parametrize(
    ("more", "code", "line"),
    [
        (("--shard", "0/4"), 2, "--shard '0/4' is no share; the first is 1/4"),
        (("--shard", "1"), 2, "--shard '1' is not I/N"),
        (("--shard", "1/1"), 2, "--shard '1/1' is everything"),
        (("--model", "x"), 2, "--model 'x' is not LABEL=MODEL"),
        (("--model", "a/b=base"), 2, "--model 'a/b=base' is not LABEL=MODEL"),
        (("--model", "x=nowhere"), 3, "there is no nowhere to score as 'x'"),
        (("--model", "pasted=base"), 2, "two models have one label"),
        (("--set", "steps=0"), 2, "steps is 0; it must be at least 1"),
    ],
)
def test_wrong_arguments(
    small: Small,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: tuple[str, str],
    code: int,
    line: str,
) -> None:
    said = say(capsys, *xversebench(small, tmp_path / "out", *more))
    assert said[:2] == (code, "")
    assert said[2].startswith(f"error: {line}"), said[2]
    assert said[2].count("\n") == 1


def test_an_unknown_version_of_a_model(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--model", "x=default@3", "--run", tmp_path / "no-run")
    code, _, error = say(capsys, *xversebench(small, tmp_path / "out", *more))
    assert code == 3
    assert "no MLflow store" in error


def test_options_stand_behind_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, error = say(capsys, "--out", "x", "rendered", "--model", "a=base", "--out", "y")
    assert (code, error.count("\n")) == (2, 1)
    assert error.startswith("error: --out stands before rendered")


def test_the_comparison_names_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, error = say(capsys, "--data", "x", "--out", "y")
    assert (code, error) == (
        2,
        "error: Missing option '--tuned'.; see `umo evaluate --help`\n",
    )


def rendered(out: Path) -> list[str]:
    model = f"reference={REFERENCE}"
    groups = ["--prompts", "2", "--most-people", "2", "--set", "steps=2"]
    return ["evaluate", "rendered", "--model", model, "--out", str(out), *groups, "-o", "json"]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name[0] != "." and path.parent.name != "once"
    }


def test_killed_and_started_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert execute(rendered(whole)) == 0
    expected: Any = contents(whole)
    program = "from umo_cli.main import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", program, *rendered(killed)],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        deadline = time.monotonic() + 300
        while not (first := sorted(killed.glob("pictures/reference/*.png"))):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    there = {path: path.stat().st_mtime_ns for path in first}
    assert execute(rendered(killed)) == 0
    assert {path: path.stat().st_mtime_ns for path in there} == there, "nothing is painted twice"
    assert contents(killed) == expected
