"""The real pipeline on kfp's local runner, with an untrained base."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from services.bases import save_base, small_run
from umo.errors import ExitCode, NotFoundError, UmoError
from umo.files import read_manifest, sha256
from umo.steps import journal, synthesize
from umo_pipelines import submit
from umo_pipelines.submit import run_local

pytestmark = pytest.mark.slow


def test_run_twice_is_one_version(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    base, out = save_base(tmp_path / "base"), tmp_path / "run"
    first = run_local(small_run(base), out, progress=True)
    again = run_local(small_run(base), out, progress=True)
    printed = capfd.readouterr()

    assert printed.out == ""
    assert printed.err.count("done in") == 5
    assert printed.err.count("already there, reused") == 5
    assert (first["model"], first["version"]) == ("tiny-candidates", 1)
    assert (again["version"], again["digest"]) == (1, first["digest"])
    assert first["digest"] == sha256(out / "train/lora.safetensors")
    assert {"base", "tuned", "gain", "gap_closed", "people", "peak_memory_mb"} <= first.keys()
    assert Path(first["report"]).is_file()
    assert Path(first["mlflow"]).is_file()
    for part in ("data/tune", "data/held-out", "train", "evaluation"):
        assert read_manifest(out / part, verify=True)["identity"]
    events = [json.loads(line) for line in (out / "logs/journal.jsonl").read_text().splitlines()]
    assert {e["step"] for e in events if e["event"] == "finished" and e["reused"]} == {
        "synthesize tune",
        "synthesize held-out",
        "train",
        "evaluate",
        "register",
    }


def test_failing_step_is_one_line(tmp_path: Path) -> None:
    base = save_base(tmp_path / "base")
    weights = next((base / "transformer").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(UmoError, match=r"^train: .*safetensors has sha256") as failed:
        run_local(small_run(base), tmp_path / "run", progress=False)
    assert failed.value.exit_code == ExitCode.DIFFERS
    assert "\n" not in str(failed.value)
    assert not (tmp_path / "run/train").exists()


def test_folder_that_is_no_base_stops_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"has no manifest\.json"):
        run_local(small_run(tmp_path), tmp_path / "run", progress=False)
    assert not (tmp_path / "run/data").exists()


def test_several_tasks_render_the_same_data(tmp_path: Path) -> None:
    """The DAG of a cluster, by kfp's local runner, until its training fails; nothing is retried."""
    base, out = save_base(tmp_path / "base"), tmp_path / "run"
    config = small_run(base)
    (out / "logs").mkdir(parents=True)
    arguments = out / "logs" / "arguments.json"
    values = {**submit.arguments(config, out), "base": str(tmp_path / "nowhere")}
    arguments.write_text(json.dumps(values))
    program = (
        "import pathlib, sys\n"
        "from umo_pipelines import local, training\n"
        "local.PIPELINES['training'] = lambda: training.build(3)\n"
        "local.main('training', pathlib.Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(arguments)], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "Retrying" not in done.stdout + done.stderr
    events = journal.read(journal.journal_path(out))
    finished = [event["step"] for event in events if event["event"] == "finished"]
    parts = [f"synthesize {split} {n}/3" for split in ("tune", "held-out") for n in (1, 2, 3)]
    assert sorted(finished) == sorted([*parts, "join tune", "join held-out"])
    (failed,) = [event for event in events if event["event"] == "failed"]
    assert failed["step"] == "train"
    assert "train: failed" in done.stdout
    for split, rendered in (("tune", config.tune), ("held-out", config.held_out)):
        whole = synthesize.run(rendered, folder=tmp_path / split)
        assert read_manifest(out / "data" / split, verify=True) == read_manifest(whole.folder)
