"""The real pipeline on kfp's local runner, with an untrained base."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.bases import tiny_flux, tiny_flux2
from umo.bases import load_base
from umo.bases.embedded import tiny
from umo.bases.omnigen2_tiny import tiny as tiny_omnigen2
from umo.data.render import RenderConfig
from umo.errors import ExitCode, NotFoundError, UmoError
from umo.evaluation.evaluate import EvaluationConfig
from umo.files import read_manifest, sha256, write_manifest
from umo.steps import journal, synthesize
from umo.steps.run import RunConfig
from umo.training.rerefl import RereflConfig
from umo_pipelines import submit
from umo_pipelines.submit import run_local

pytestmark = pytest.mark.slow


def save_base(folder: Path, make: Callable[[int], Any] = tiny) -> Path:
    folder.mkdir()
    make(0).save(folder)
    write_manifest(folder, {"kind": "base", "name": "tiny"})
    return folder


def settings(base: Path) -> RunConfig:
    return RunConfig(
        base=str(base),
        tune=RenderConfig(split="tune", samples=4, people={2: 1.0}),
        held_out=RenderConfig(split="held-out", samples=3, people={2: 0.5, 3: 0.5}),
        train=RereflConfig(steps=2, batch=2, rank=2, rollout_steps=2, window=(1, 2), log_every=1),
        evaluation=EvaluationConfig(steps=2, resamples=20),
        model="tiny",
    )


def test_run_twice_is_one_version(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    base, out = save_base(tmp_path / "base"), tmp_path / "run"
    first = run_local(settings(base), out, progress=True)
    again = run_local(settings(base), out, progress=True)
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


@pytest.mark.parametrize(
    "make", [tiny_flux, tiny_flux2, tiny_omnigen2], ids=["flux", "flux2", "omnigen2"]
)
def test_every_architecture_goes_through_it(make: Callable[[int], Any], tmp_path: Path) -> None:
    base, out = save_base(tmp_path / "base", make), tmp_path / "run"
    done = run_local(settings(base), out, progress=False)
    assert done["version"] == 1
    assert done["digest"] == sha256(out / "train/lora.safetensors")
    trained = read_manifest(out / "train", verify=True)
    assert trained["base"]["digest"] == read_manifest(base)["digest"]
    model = load_base(str(base))
    model.load_lora(out / "train/lora.safetensors")
    last = json.loads((out / "train/metrics.jsonl").read_text().splitlines()[-1])
    assert last["grad_norm"] > 0
    assert done["base"]["faces_expected"] == done["tuned"]["faces_expected"] > 0


def test_failing_step_is_one_line(tmp_path: Path) -> None:
    base = save_base(tmp_path / "base")
    weights = next((base / "transformer").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(UmoError, match=r"^train: .*safetensors has sha256") as failed:
        run_local(settings(base), tmp_path / "run", progress=False)
    assert failed.value.exit_code == ExitCode.DIFFERS
    assert "\n" not in str(failed.value)
    assert not (tmp_path / "run/train").exists()


def test_folder_that_is_no_base_stops_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"has no manifest\.json"):
        run_local(settings(tmp_path), tmp_path / "run", progress=False)
    assert not (tmp_path / "run/data").exists()


def test_several_tasks_render_the_same_data(tmp_path: Path) -> None:
    """The DAG of a cluster, by kfp's local runner, until its training fails; nothing is retried."""
    base, out = save_base(tmp_path / "base"), tmp_path / "run"
    config = settings(base)
    (out / "logs").mkdir(parents=True)
    arguments = out / "logs" / "arguments.json"
    values = {**submit.arguments(config, out), "base": str(tmp_path / "nowhere")}
    arguments.write_text(json.dumps(values))
    program = (
        "import pathlib, sys\n"
        "from umo_pipelines import local, training\n"
        "local.PIPELINES['training'] = training.build(3)\n"
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
