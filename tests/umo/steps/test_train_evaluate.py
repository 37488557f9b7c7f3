import json
from dataclasses import replace
from pathlib import Path

import pytest

from services.processes import free_ports
from umo.errors import DiffersError, UsageError
from umo.files import read_manifest
from umo.steps import evaluate, train
from umo.steps.journal import Outcome
from umo.steps.layout import Layout
from umo.steps.run import RunConfig
from umo.store import Store
from umo.tracking import Run


def tune(config: RunConfig, data: Layout, folder: Path, store: Store | None = None) -> Outcome:
    return train.run(
        config.tuning,
        base=config.base,
        pack="open",
        data=data.data("tune"),
        folder=folder,
        store=store,
    )


def judge(config: RunConfig, data: Layout, tuned: Path, folder: Path) -> Outcome:
    return evaluate.run(
        config.evaluation,
        base=config.base,
        pack="open",
        data=data.data("held-out"),
        tuned=tuned,
        folder=folder,
    )


def test_second_time_finds_the_first(config: RunConfig, data: Layout, tmp_path: Path) -> None:
    out = Layout(tmp_path)
    first = tune(config, data, out.train)
    again = tune(config, data, out.train)
    other = tune(replace(config, seed=1), data, tmp_path / "other")
    assert (first.reused, again.reused, other.reused) == (False, True, False)
    assert first.digest == again.digest != other.digest

    judged = judge(config, data, out.train, out.evaluation)
    seen = judge(config, data, out.train, out.evaluation)
    assert (judged.reused, seen.reused) == (False, True)
    assert judged.digest == seen.digest
    assert not judge(config, data, tmp_path / "other", out.evaluation).reused


def test_reference_lora_of_the_same_base_is_compared_too(
    config: RunConfig, data: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Layout(tmp_path)
    tune(config, data, out.train)
    monkeypatch.setattr(evaluate, "REFERENCE", out.train)
    judge(config, data, out.train, out.evaluation)
    summary = json.loads((out.evaluation / "summary.json").read_text())
    assert list(summary["models"]) == ["base", "tuned", "reference"]


def test_changed_weights_are_not_judged(config: RunConfig, data: Layout, tmp_path: Path) -> None:
    tune(config, data, tmp_path / "train")
    lora = tmp_path / "train" / next(n for n in read_manifest(tmp_path / "train")["files"])
    lora.write_bytes(lora.read_bytes()[:-1])
    with pytest.raises(DiffersError, match=lora.name):
        judge(config, data, tmp_path / "train", tmp_path / "evaluation")


def test_mlflow_follows_the_run_and_changes_nothing(
    config: RunConfig, data: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    there = Store.local(tmp_path)
    away = Store(tracking=f"http://127.0.0.1:{free_ports(1)[0]}", ledger="")
    weights = set()
    for name, store in (("followed", there), ("alone", away)):
        tune(config, data, tmp_path / name, store)
        weights.add(read_manifest(tmp_path / name, verify=True)["weights"])
    assert len(weights) == 1
    run = Run.open(there, name="", identity=read_manifest(tmp_path / "followed")["identity"])
    record = run.client.get_run(run.id)
    assert record.info.status == "FINISHED"
    assert record.data.params["config.rank"] == "2"
    assert {"curve.reward", "curve.utilisation", "curve.seconds_rollout"} <= set(
        record.data.metrics
    )
    painted = [Path(file.path).name for file in run.client.list_artifacts(run.id, "samples")]
    assert painted == ["step-00000000.jpg", "step-00000001.jpg"]


def test_all_weights_are_judged(config: RunConfig, data: Layout, tmp_path: Path) -> None:
    train.run(
        replace(config.tuning, weights="full"),
        base=config.base,
        pack="open",
        data=data.data("tune"),
        folder=tmp_path / "train",
    )
    judge(config, data, tmp_path / "train", tmp_path / "evaluation")
    summary = json.loads((tmp_path / "evaluation/summary.json").read_text())
    assert list(summary["models"]) == ["base", "tuned"]
    digest = summary["lineage"]["models"]["tuned"]["digest"]
    assert digest == read_manifest(tmp_path / "train")["weights"]


def test_a_whole_run_registers_loras_alone(config: RunConfig) -> None:
    with pytest.raises(UsageError, match=r"train\.weights is 'full'"):
        replace(config, train=replace(config.train, weights="full"))
