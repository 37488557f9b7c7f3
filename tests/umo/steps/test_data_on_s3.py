"""Tuning and judging by datasets on S3 gives what those on a disk give."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from umo.data.collect import merge
from umo.errors import ExitCode, UmoError
from umo.steps import evaluate, train
from umo.steps.layout import Layout
from umo.steps.run import RunConfig
from umo.training.rerefl import LORA

if TYPE_CHECKING:
    from services.s3 import S3


@pytest.fixture
def bucket(s3: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return s3.create(tmp_path.name.replace("_", "-"))


def tuned_and_judged(config: RunConfig, data: str, out: Layout) -> tuple[bytes, bytes]:
    """The weights, and the scores."""
    tuned = train.run(
        config.tuning, base=config.base, pack="open", data=f"{data}/tune", folder=out.train
    )
    judged = evaluate.run(
        config.evaluation,
        base=config.base,
        pack="open",
        data=f"{data}/held-out",
        tuned=tuned.folder,
        folder=out.evaluation,
    )
    return (tuned.folder / LORA).read_bytes(), (judged.folder / "scores.json").read_bytes()


def test_data_on_s3_trains_and_judges_as_on_a_disk(
    config: RunConfig, data: Layout, bucket: str, tmp_path: Path
) -> None:
    config = replace(config, train=replace(config.train, steps=3))
    places = {"s3": bucket, "disk": str(tmp_path / "data")}
    for place in places.values():
        for split in ("tune", "held-out"):
            merge([data.data(split)], f"{place}/{split}")
    remote, local = (
        tuned_and_judged(config, place, Layout(tmp_path / name)) for name, place in places.items()
    )
    assert remote == local


def test_data_that_s3_does_not_give_is_a_matter_of_time(
    config: RunConfig, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(UmoError, match=f"{bucket}/tune cannot be reached") as raised:
        tuned_and_judged(config, bucket, Layout(tmp_path))
    assert raised.value.exit_code == ExitCode.INTERRUPTED
    assert list(tmp_path.iterdir()) == []
