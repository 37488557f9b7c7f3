"""Runs that cannot go on stop with one clear line, and what they saved stays whole."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from services.relay import relay
from services.s3 import S3
from services.tiny_runs import CONFIG
from services.tiny_training import TinyModel
from umo.data.shards import Dataset
from umo.errors import DeniedError, ExitCode, UmoError, UsageError
from umo.training.checkpoint import Checkpoint
from umo.training.places import ENDPOINT, Bucket, place_of
from umo.training.rerefl import CHECKPOINTS, train

EACH = replace(CONFIG, log_every=1)


@pytest.fixture
def tune(pack: Any, dataset: Dataset) -> Any:
    def run(out: Path, config: Any = EACH, **others: Any) -> dict[str, Any]:
        given = {"base": TinyModel(), "dataset": dataset, "pack": pack, **others}
        return train(config, out=out, **given)

    return run


@pytest.fixture
def store(s3: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return s3


def at(step: int, action: Any) -> Any:
    def progress(line: dict[str, Any]) -> None:
        if line["phase"] == "train" and line["done"] == step and "loss" in line:
            action()

    return progress


def fails(tune: Any, out: Path, match: str, **settings: Any) -> UmoError:
    with pytest.raises(UmoError, match=match) as raised:
        tune(out, **settings)
    assert "\n" not in str(raised.value)
    assert not (out / "manifest.json").exists()
    return raised.value


def saved(out: Path) -> list[int]:
    return [Checkpoint(folder).facts["step"] for folder in sorted(out.glob("checkpoints/step-*"))]


def test_a_gradient_that_is_not_finite(tune: Any, tmp_path: Path) -> None:
    model, out = TinyModel(), tmp_path / "out"

    def poison() -> None:
        model.transformer.first.up.register_hook(lambda gradient: gradient * float("nan"))

    message = r"step 6: the loss .* or its gradient's norm nan is not finite; lower lr \(0\.01\)"
    error = fails(tune, out, message, base=model, progress=at(5, poison))
    assert (error.exit_code, error.retryable) == (ExitCode.FAILED, False)
    assert saved(out) == [2, 4]
    assert tune(out)["digest"] == tune(tmp_path / "whole")["digest"]


def test_pictures_without_any_face(tune: Any, tmp_path: Path) -> None:
    model, out = TinyModel(), tmp_path / "out"
    config = replace(EACH, steps=30)

    def darken() -> None:
        model.decode = lambda latents: latents.new_full((len(latents), 3, 32, 64), -1.0)

    message = "no face was found in the pictures of 10 steps in a row, up to step 13"
    error = fails(tune, out, message, base=model, config=config, progress=at(3, darken))
    assert error.exit_code == ExitCode.FAILED
    assert saved(out) == [10, 12]


def test_a_full_disk(tune: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"

    @contextmanager
    def full() -> Iterator[Any]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    with full() as fill:
        error = fails(tune, out, f"cannot write {out}", progress=at(5, fill))
    assert error.exit_code == ExitCode.FAILED
    assert saved(out) == [2, 4]
    assert tune(out)["digest"] == tune(tmp_path / "whole")["digest"]


def test_a_run_goes_on_from_s3_in_another_folder(tune: Any, store: S3, tmp_path: Path) -> None:
    url = store.create("training-resume") + "/a/run"
    place = {"checkpoints": url}

    def poison() -> None:
        raise UmoError("the pod is gone")

    fails(tune, tmp_path / "first", "the pod is gone", progress=at(7, poison), **place)
    assert Bucket(url).names() == ["step-00000004", "step-00000006"]
    assert not (tmp_path / "first" / CHECKPOINTS).exists()
    again = tune(tmp_path / "second", **place)
    assert again["digest"] == tune(tmp_path / "whole")["digest"]
    assert "Contents" not in store.client.list_objects_v2(Bucket="training-resume")


def test_a_damaged_object_is_passed_over(tune: Any, store: S3, tmp_path: Path, caplog: Any) -> None:
    url = store.create("training-damaged")

    def stop() -> None:
        raise UmoError("the pod is gone")

    fails(tune, tmp_path / "first", "gone", progress=at(7, stop), checkpoints=url)
    store.flip(f"{url}/step-00000006/shard-00000.safetensors")
    again = tune(tmp_path / "second", checkpoints=url)
    assert f"{url}/step-00000006 is passed over" in caplog.text
    assert again["digest"] == tune(tmp_path / "whole")["digest"]


def test_s3_is_lost(tune: Any, store: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = store.create("training-lost")
    with relay(store.endpoint) as (address, cut):
        monkeypatch.setenv(ENDPOINT, address)
        message = f"{url}/step-00000006 cannot be reached: .*; run the same command again"
        error = fails(tune, tmp_path / "out", message, progress=at(5, cut), checkpoints=url)
    assert (error.exit_code, error.retryable) == (ExitCode.INTERRUPTED, True)
    monkeypatch.setenv(ENDPOINT, store.endpoint)
    assert Bucket(url).names() == ["step-00000002", "step-00000004"]
    again = tune(tmp_path / "out", checkpoints=url)
    assert again["digest"] == tune(tmp_path / "whole")["digest"]


def test_s3_that_refuses_is_no_matter_of_time(tune: Any, store: S3, tmp_path: Path) -> None:
    error = fails(tune, tmp_path / "out", "s3://nowhere: .*exist", checkpoints="s3://nowhere")
    assert isinstance(error, DeniedError)


def test_a_place_that_is_none() -> None:
    with pytest.raises(UsageError, match="no checkpoints at 'ftp://there'"):
        place_of("ftp://there")


def test_torch_is_as_deterministic_as_before(tune: Any, tmp_path: Path) -> None:
    tune(tmp_path / "out")
    assert not torch.are_deterministic_algorithms_enabled()
