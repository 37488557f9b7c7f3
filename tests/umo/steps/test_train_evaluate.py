import json
from dataclasses import replace
from pathlib import Path

import pytest

from umo.errors import DiffersError
from umo.files import read_manifest
from umo.steps import evaluate, train
from umo.steps.journal import Outcome
from umo.steps.layout import Layout
from umo.steps.run import RunConfig


def tune(config: RunConfig, data: Layout, folder: Path) -> Outcome:
    return train.run(
        config.tuning, base=config.base, pack="open", data=data.data("tune"), folder=folder
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
