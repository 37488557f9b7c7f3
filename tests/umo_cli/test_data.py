"""`umo data` on the command line: results on stdout, refusals in one line."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.drawn_samples import FACE_PACK, drawn
from umo.data.shards import Dataset, write_dataset
from umo.errors import ExitCode
from umo_cli import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    samples = [drawn(f"{i}", f"{i}-a", *([f"{i}-b"] if i % 2 else [])) for i in range(8)]
    write_dataset(samples, tmp_path / "data", FACE_PACK)
    return tmp_path / "data"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    assert main.execute(["data", *map(str, arguments), "--output", "json"]) == ExitCode.OK
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], code: int, *arguments: object) -> str:
    assert main.execute(["data", *map(str, arguments)]) == code
    line = capsys.readouterr().err
    assert line.startswith("error: ")
    assert line.count("\n") == 1
    return line


def test_the_way_of_a_dataset(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = run(capsys, "show", folder)
    assert (shown["samples"], shown["people"]) == (8, {"1": 4, "2": 4})
    assert run(capsys, "check", folder) == {"problems": []}

    out = tmp_path / "balanced"
    made = run(capsys, "balance", folder, "--out", out, "--people", "1=0.25", "--people", "2=0.75")
    assert made["samples"] == len(Dataset(out)) == 5
    shares = ("--share", "tune=0.5", "--share", "held-out=0.5")
    assert run(capsys, "split", folder, "--out", tmp_path / "splits", *shares) == {
        "folder": str(tmp_path / "splits"),
        "tune": 4,
        "held-out": 4,
        "left out": 0,
    }
    write_dataset([drawn("more", "zoe")], tmp_path / "more", FACE_PACK)
    assert run(capsys, "append", folder, tmp_path / "more")["samples"] == 9
    merged = run(capsys, "merge", folder, "--out", tmp_path / "merged")
    assert merged["digest"] == Dataset(folder).digest

    assert run(capsys, "export", folder, "--out", tmp_path / "uno")["samples"] == 9
    file = tmp_path / "uno/samples.json"
    assert run(capsys, "import", file, "--out", tmp_path / "again")["digest"] == merged["digest"]
    done = run(capsys, "forget", "zoe", tmp_path)["done"]
    assert {Path(one["place"]).name for one in done} == {"data", "more", "merged", "again", "uno"}
    assert run(capsys, "show", folder)["samples"] == 8


def test_tables_say_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.execute(["data", "show", str(folder)]) == ExitCode.OK
    assert "1: 4, 2: 4" in capsys.readouterr().out
    assert main.execute(["data", "check", str(folder)]) == ExitCode.OK
    assert "none" in capsys.readouterr().out
    assert main.execute(["data", "forget", "nobody", str(folder)]) == ExitCode.OK
    assert capsys.readouterr().out == "nothing holds nobody\n"


def test_refusals(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert "is in" in refused(capsys, 2, "merge", folder, folder, "--out", out)
    assert "is not NAME=SHARE" in refused(
        capsys, 2, "split", folder, "--out", out, "--share", "tune"
    )
    assert "is not a number" in refused(
        capsys, 2, "balance", folder, "--out", out, "--people", "x=1"
    )
    assert "has no manifest.json" in refused(capsys, 3, "show", tmp_path / "none")
    assert "no dataset at" in refused(capsys, 2, "show", "gs://b/x")
    shard = folder / "shard-00000.parquet"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    assert "damaged" in refused(capsys, 1, "check", folder)
    assert not out.exists()


def test_check_prints_problems_and_fails(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset([drawn("x", "1-a", split="held-out")], tmp_path / "other", FACE_PACK)
    places = [str(folder), str(tmp_path / "other")]
    assert main.execute(["data", "check", *places, "-o", "json"]) == ExitCode.DIFFERS
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert (problem["kind"], problem["count"]) == ("an identity in two splits", 1)
    assert main.execute(["data", "check", *places]) == ExitCode.DIFFERS
    assert "an identity in two splits" in capsys.readouterr().out.replace("\n", " ")
