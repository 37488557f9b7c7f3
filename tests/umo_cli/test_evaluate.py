"""`umo evaluate`: the old invocation, the benchmarks, and what people are told."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from services.hub import fake_hub
from services.small_benchmark import Small, scene, write_small
from services.small_omnicontext import rows, write_parquet
from umo.files import read_manifest, write_manifest
from umo.registry import Registry, candidates
from umo.store import Store
from umo.tracking import Run
from umo_cli.main import execute

REFERENCE = Path(__file__).parents[2] / "components/umo/assets/reference"
SEAL = ("files", "digest")
"""What `write_manifest` adds to a manifest."""


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


def test_whatever_cannot_be_scored_is_named_and_counted(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = json.loads(small.items.read_text())
    small.items.write_text(json.dumps([*entries, {**entries[2], "prompt": "Again"}]))
    damaged = next(small.pictures.glob("0_*"))
    damaged.write_bytes(damaged.read_bytes()[:3000])
    next(small.pictures.glob("1_*")).unlink()
    code, printed, error = say(capsys, *xversebench(small, tmp_path / "out", "-o", "json"))
    assert code == 5
    assert error.startswith("error: 4 things could not be scored, first of pasted: items.json")
    (model,) = json.loads(printed)["models"]
    assert (model["pictures"], model["failures"]) == (8, 4), "the others were scored"
    scores = json.loads((tmp_path / "out/scores/pasted/scores.json").read_text())
    named = {(failure["key"], failure["error"].split(":")[0]) for failure in scores["failures"]}
    version = hashlib.sha256(small.items.read_bytes()).hexdigest()
    assert named == {
        ("", f"its sha256 {version[:12]}... is of no published version"),
        ("2", "the item is there twice"),
        ("0", "the picture is damaged"),
        ("1", "there is no picture"),
    }


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


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder whose MLflow has the reference model as `people@1`."""
    folder = tmp_path_factory.mktemp("run")
    store = Store.local(folder)
    run = Run.open(store, name="people", identity="people")
    Registry(store).register(run, REFERENCE, model=candidates("people"))
    return folder


def painted(model: str, out: Path, *more: object) -> tuple[object, ...]:
    groups = ("--prompts", 1, "--most-people", 1, "--set", "steps=1")
    return ("rendered", "--model", model, "--out", out, *groups, "-o", "json", *more)


def test_a_registered_version_is_fetched_verified_painted_and_scored(
    registered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_version, by_folder = tmp_path / "by-version", tmp_path / "by-folder"
    code, printed, error = say(capsys, *painted("a=people@1", by_version, "--run", registered))
    assert (code, error) == (0, "")
    assert json.loads(printed)["models"][0]["pictures"] == 4
    assert say(capsys, *painted(f"a={REFERENCE}", by_folder))[0] == 0
    assert contents(by_version) == contents(by_folder)
    weights = read_manifest(REFERENCE)["files"]["lora.safetensors"]
    assert read_manifest(by_version / "scores/a")["weights"] == weights


@pytest.mark.parametrize(
    ("version", "code", "line"),
    [
        ("people@7", 3, "people-candidates has no version 7, only 1"),
        ("people@champion", 3, "people has no champion"),
        ("people@newest", 2, "'newest' is no version"),
        ("nobody@1", 3, "no model 'nobody'"),
    ],
)
def test_versions_that_are_not_there(
    registered: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    version: str,
    code: int,
    line: str,
) -> None:
    said = say(capsys, *painted(f"a={version}", tmp_path / "out", "--run", registered))
    assert (said[0], said[2].count("\n")) == (code, 1)
    assert said[2].startswith(f"error: {line}")


def test_other_weights_than_were_registered_are_refused(
    registered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (lora,) = registered.rglob("model/lora.safetensors")
    before = {path: path.read_bytes() for path in lora.parent.iterdir()}
    arguments = painted("a=people@1", tmp_path / "out", "--run", registered)
    try:
        lora.write_bytes(before[lora][:-1] + b"\x7f")
        changed = say(capsys, *arguments)
        facts = read_manifest(lora.parent)
        write_manifest(lora.parent, {k: v for k, v in facts.items() if k not in SEAL})
        sealed_anew = say(capsys, *arguments)
    finally:
        for path, content in before.items():
            path.write_bytes(content)
    for said, name in ((changed, "lora.safetensors"), (sealed_anew, "manifest.json")):
        assert said[:2] == (5, "")
        assert said[2].startswith(f"error: people-candidates 1: model/{name} has sha256")
    assert not (tmp_path / "out/pictures").exists()


def test_omnicontext_comes_from_a_folder_or_the_hub(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_parquet(tmp_path / "data", rows())
    pictures = tmp_path / "pictures"
    for path, people in (
        ("multi_character/a", [0, 1]),
        ("multi_character_object/c", [2]),
        ("single_character/d", [3]),
    ):
        file = pictures / f"fullset/{path}.png"
        file.parent.mkdir(parents=True)
        scene(people).save(file)

    def arguments(source: object, out: Path) -> list[str]:
        model = f"pasted={pictures}"
        return [
            *("omnicontext", "--data", str(source), "--model", model, "--out", str(out)),
            *("-o", "json"),
        ]

    code, printed, error = say(capsys, *arguments(data, tmp_path / "folder"))
    assert (code, error) == (0, "")
    with fake_hub("made/OmniContext", data) as hub:
        done = subprocess.run(
            [
                *(sys.executable, "-c", "from umo_cli.main import main; main()", "evaluate"),
                *arguments("hub:made/OmniContext", tmp_path / "hub"),
            ],
            env={**os.environ, **hub.environment(tmp_path / "home")},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["version"] == json.loads(printed)["version"]
    assert contents(tmp_path / "hub/scores") == contents(tmp_path / "folder/scores")
    code, _, error = say(capsys, *arguments(tmp_path / "none", tmp_path / "none"))
    assert (code, error) == (
        3,
        f"error: no dataset folder {tmp_path}/none; or give hub:NAME\n",
    )


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
