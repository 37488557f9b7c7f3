"""A run that stops goes on as if it never had; what does not belong to it is refused."""

import logging
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.tiny_runs import CONFIG, curve, lines
from services.tiny_training import TinyModel, make_sample
from umo.data.shards import Dataset
from umo.errors import DiffersError, ExitCode, UmoError
from umo.files import read_manifest
from umo.training.rerefl import CHECKPOINTS, RereflConfig, train

Train = Callable[..., dict[str, Any]]


@pytest.fixture
def tune(pack: Any, dataset: Dataset) -> Train:
    def run(out: Path, config: RereflConfig = CONFIG, **others: Any) -> dict[str, Any]:
        given = {"base": TinyModel(), "dataset": dataset, "pack": pack, **others}
        return train(config, out=out, **given)

    return run


def at(step: int, action: Callable[[], None]) -> Callable[[dict[str, Any]], None]:
    """Progress that acts when a step is reported."""

    def progress(line: dict[str, Any]) -> None:
        if line["phase"] == "train" and line["done"] == step and "loss" in line:
            action()

    return progress


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def stop_after(tune: Train, out: Path, step: int, config: RereflConfig = CONFIG) -> None:
    with pytest.raises(UmoError, match=f"interrupted after step {step + 1}, which is saved"):
        tune(out, replace(config, log_every=1), progress=at(step, terminate))


def test_an_interrupted_run_goes_on_to_the_same_weights(tune: Train, tmp_path: Path) -> None:
    config = replace(CONFIG, log_every=5)
    whole = tune(tmp_path / "whole", config)
    before = signal.getsignal(signal.SIGTERM)
    for save_every, step in ((2, 5), (100, 10)):
        out = tmp_path / f"run-{step}"
        often = replace(config, save_every=save_every)
        with pytest.raises(UmoError, match="interrupted after step") as stopped:
            tune(out, often, progress=at(step, terminate))
        assert stopped.value.exit_code == ExitCode.INTERRUPTED
        assert stopped.value.retryable
        assert "\n" not in str(stopped.value)
        assert not (out / "manifest.json").exists()
        result = tune(out, often)
        assert result["digest"] == whole["digest"]
        assert curve(out) == curve(tmp_path / "whole")
        assert curve(out, "reward") == curve(tmp_path / "whole", "reward")
        assert result["seconds"] > lines(out)[0]["elapsed"]
        assert not (out / CHECKPOINTS).exists()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_finished_run_is_only_looked_up(tune: Train, tmp_path: Path) -> None:
    first = tune(tmp_path / "out")
    written = (tmp_path / "out" / "metrics.jsonl").read_bytes()
    again = tune(tmp_path / "out")
    assert (again["digest"], again["last"]) == (first["digest"], first["last"])
    assert (tmp_path / "out" / "metrics.jsonl").read_bytes() == written
    other = tune(tmp_path / "out", replace(CONFIG, seed=1))
    assert other["digest"] != first["digest"]
    assert read_manifest(tmp_path / "out", verify=True)["seed"] == 1


def test_two_are_kept_and_a_damaged_one_is_passed_over(
    tune: Train, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole, out = tune(tmp_path / "whole", replace(CONFIG, log_every=1)), tmp_path / "out"
    stop_after(tune, out, 8)
    names = sorted(path.name for path in (out / CHECKPOINTS).iterdir())
    assert names == ["step-00000008", "step-00000009"]
    shard = out / CHECKPOINTS / names[1] / "shard-00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    (out / CHECKPOINTS / "step-00000010").mkdir()
    with caplog.at_level(logging.WARNING):
        assert tune(out, replace(CONFIG, log_every=1))["digest"] == whole["digest"]
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "step-00000009 is passed over" in warning
    assert "shard-00000.safetensors has sha256" in warning


def test_other_settings_or_data_are_refused(
    tune: Train, make_dataset: Any, pack: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    stop_after(tune, out, 3)
    kept = {path: path.read_bytes() for path in (out / CHECKPOINTS).rglob("*.*")}
    shutil.rmtree(tmp_path / "data")
    data = make_dataset([make_sample(index, 2) for index in range(8, 12)])
    base = TinyModel()
    base.digest = "2" * 64
    each = replace(CONFIG, log_every=1)
    refused = [
        ({"config": replace(each, lr=0.02)}, r"with lr 0\.01, this one has 0\.02"),
        ({"config": replace(each, reward="single")}, "with reward matching, this one has single"),
        ({"config": each, "dataset": data}, rf"with data \w{{64}}, this one has {data.digest}"),
        ({"config": each, "base": base}, f"with base.digest {'0' * 64}, this one has {'2' * 64}"),
        (
            {"config": each, "pack": replace(pack, digest="3" * 64)},
            f"with face_pack.digest {'1' * 64}, this one has {'3' * 64}",
        ),
    ]
    for settings, message in refused:
        with pytest.raises(DiffersError, match=message) as raised:
            tune(out, **settings)
        assert raised.value.exit_code == ExitCode.DIFFERS
        assert "stopped after step 4" in str(raised.value)
        assert "\n" not in str(raised.value)
    assert {path: path.read_bytes() for path in kept} == kept


def test_other_code_goes_on_with_a_warning(
    tune: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    stop_after(tune, tmp_path / "out", 3)
    monkeypatch.setattr("umo.training.identity.code_version", lambda: "another")
    tune(tmp_path / "out", replace(CONFIG, log_every=1))
    assert "the code has changed since step 4" in caplog.text


def test_a_second_ctrl_c_ends_at_once(tune: Train, tmp_path: Path) -> None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        tune(tmp_path / "out", progress=at(3, twice))


def test_averaged_weights_are_the_result(tune: Train, tmp_path: Path) -> None:
    plain = tune(tmp_path / "plain", replace(CONFIG, ema=0.0))
    averaged = tune(tmp_path / "averaged", CONFIG)
    assert plain["digest"] != averaged["digest"]
    assert curve(tmp_path / "plain") == curve(tmp_path / "averaged")
