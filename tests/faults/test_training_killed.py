"""Training is killed anywhere, also inside a save: it goes on to the very same weights."""

import time
from pathlib import Path

import pytest

from services.tiny_runs import Job, curve, file_changes, kill_somewhere, run
from services.tiny_training import tiny_dataset
from umo.training.checkpoint import Checkpoint
from umo.training.rerefl import CHECKPOINTS

FEW, ALL = range(4), range(50)
ENDS = {0, 75, -9, -15}
"""How a process ends that was killed, the last before it began; one whose partner was killed may
end with any error."""


def check_kills(folder: Path, size: int, seeds: range, *, sharded: bool = False) -> None:
    data = tiny_dataset(folder / "data").folder
    whole = Job(data=data, out=folder / "whole" / "run", size=size, sharded=sharded)
    started = time.monotonic()
    expected = run(whole)
    seconds = time.monotonic() - started
    counted = Job(data=data, out=folder / "counted" / "run", size=size, sharded=sharded)
    changes = file_changes(counted)
    assert changes > 50
    killed = 0
    for seed in seeds:
        job = Job(data=data, out=folder / f"run-{seed}", size=size, sharded=sharded)
        codes = kill_somewhere(job, seed, changes, seconds)
        assert size > 1 or set(codes) <= ENDS, codes
        killed += codes != [0] * size
        for checkpoint in (job.out / CHECKPOINTS).glob("step-*"):
            Checkpoint(checkpoint)
        again = kill_somewhere(job, seed + 1000, changes, seconds)
        assert size > 1 or set(again) <= ENDS, again
        assert run(job) == expected, f"seed {seed} ends with other weights"
        assert curve(job.out) == curve(whole.out)
        assert sorted(p.name for p in job.out.iterdir()) == [
            "lora.safetensors",
            "manifest.json",
            "metrics.jsonl",
        ]
    assert killed >= len(seeds) // 2


def test_killed_runs_end_with_the_same_weights(tmp_path: Path) -> None:
    check_kills(tmp_path, 1, FEW)


def test_killed_pairs_end_with_the_same_weights(tmp_path: Path) -> None:
    check_kills(tmp_path, 2, range(1, 2))


@pytest.mark.slow
def test_fifty_killed_runs(tmp_path: Path) -> None:
    check_kills(tmp_path, 1, ALL)


@pytest.mark.slow
def test_fifty_killed_pairs(tmp_path: Path) -> None:
    check_kills(tmp_path, 2, ALL)
