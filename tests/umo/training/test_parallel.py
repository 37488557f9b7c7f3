"""Several processes train what one would, and a run goes on with any number of them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from services.tiny_runs import CONFIG, Job, curve, end, run, start
from services.tiny_training import tiny_dataset
from umo.training.parallel import World
from umo.training.rerefl import CHECKPOINTS, LORA

FIFTY = replace(CONFIG, steps=50, save_every=25, log_every=1)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("single")
    job = Job(data=tiny_dataset(folder / "data").folder, out=folder / "run", config=FIFTY)
    run(job)
    return job


def same(one: Job, other: Job) -> None:
    """The losses and rewards of every step agree to rounding, and so do the weights."""
    for measure in ("loss", "reward", "grad_norm", "flow_matching", "faces"):
        steps, values = zip(*curve(one.out, measure), strict=True)
        others, found = zip(*curve(other.out, measure), strict=True)
        assert steps == others
        torch.testing.assert_close(
            torch.tensor(found), torch.tensor(values), rtol=1e-3, atol=1e-4, msg=measure
        )
    weights, others = load_file(one.out / LORA), load_file(other.out / LORA)
    torch.testing.assert_close(weights, others, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize(("size", "sharded"), [(2, True), (2, False)])
def test_processes_have_the_loss_curve_of_one(
    single: Job, tmp_path: Path, size: int, sharded: bool
) -> None:
    job = replace(single, out=tmp_path / "run", size=size, sharded=sharded)
    run(job)
    assert len(curve(job.out)) == 50
    same(single, job)


def test_small_passes_have_the_loss_curve_of_one(single: Job, tmp_path: Path) -> None:
    job = replace(single, out=tmp_path / "run", config=replace(FIFTY, micro_batch=1))
    run(job)
    same(single, job)


@pytest.mark.parametrize(("first", "then", "sharded"), [(2, 1, True), (2, 4, True), (1, 2, False)])
def test_a_run_goes_on_with_another_number_of_processes(
    single: Job, tmp_path: Path, first: int, then: int, sharded: bool
) -> None:
    config = replace(FIFTY, sharded=sharded)
    job = replace(single, out=tmp_path / "run", size=first, sharded=sharded, config=config)
    stopped = start(job, crash_after=30)
    assert 1 in end(stopped)
    assert [p.name for p in sorted((job.out / CHECKPOINTS).glob("step-*"))] == ["step-00000025"]
    run(replace(job, size=then))
    same(single, job)


def test_flux_sharded_has_the_weights_of_one_process(single: Job, tmp_path: Path) -> None:
    few = replace(
        CONFIG,
        steps=4,
        log_every=1,
        rollout_steps=2,
        recompute=True,
        velocity_anchor=0.1,
        base_weights="int8",
    )
    alone = replace(single, out=tmp_path / "alone", config=few, fused=True)
    run(alone)
    pair = replace(alone, out=tmp_path / "pair", size=2, sharded=True)
    run(pair)
    same(alone, pair)
    halted = replace(pair, out=tmp_path / "halted")
    assert 1 in end(start(halted, crash_after=3))
    run(replace(halted, size=1))
    same(alone, halted)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("most", [None, 1, 2])
def test_shares_cover_the_batch_once(size: int, most: int | None) -> None:
    parts = [World(rank=rank, size=size).parts(7, most) for rank in range(size)]
    assert len({len(passes) for passes in parts}) == 1
    flat = [part for passes in parts for part in passes]
    assert sum(share for _, share in flat) == pytest.approx(1)
    real = torch.cat([places for places, share in flat if share])
    assert real.tolist() == list(range(7))
    assert all(0 < len(places) <= (most or 7) for places, _ in flat)
