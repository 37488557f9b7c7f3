"""Runs of the tiny model in processes of their own, which may be killed."""

import json
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from services.bases import tiny_flux
from services.processes import free_ports
from services.tiny_training import TinyModel, tiny_pack
from umo.bases.embedded import tiny
from umo.data.shards import Dataset
from umo.errors import UmoError
from umo.training.parallel import joined
from umo.training.rerefl import METRICS, RereflConfig, train

CONFIG = RereflConfig(
    steps=12,
    batch=4,
    rank=4,
    lr=1e-2,
    rollout_steps=4,
    window=(1, 2),
    warmup=3,
    ema=0.9,
    save_every=2,
    log_every=3,
    samples=0,
)
FILE_EVENTS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree")


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run of the tiny model in `out`, by `size` processes."""

    data: Path
    out: Path
    size: int = 1
    sharded: bool = False
    config: RereflConfig = CONFIG
    checkpoints: str | None = None
    flux: bool = False
    """Whether to tune a tiny FLUX with peft's LoRA instead of two linear layers."""
    fused: bool = False
    """Whether it is UNO's, where layers of the LoRA share a matrix."""


def start(
    job: Job, *, die_at: int | None = None, crash_after: int | None = None
) -> list[BaseProcess]:
    """Start the processes of a job.

    Args:
        job: What to run.
        die_at: Kill the first process at that change of a file.
        crash_after: Raise an error in the first process when it reports that step.
    """
    context = multiprocessing.get_context("fork")
    (port,) = free_ports(1)
    processes: list[BaseProcess] = [
        context.Process(target=_work, args=(job, rank, port, die_at, crash_after))
        for rank in range(job.size)
    ]
    for process in processes:
        process.start()
    return processes


def end(processes: list[BaseProcess], seconds: float = 240.0) -> list[int]:
    """Wait for the processes as torchrun does: where one fails the others are killed."""
    deadline = time.monotonic() + seconds
    while any(process.is_alive() for process in processes):
        failed = [process for process in processes if process.exitcode not in (None, 0, 75)]
        if failed or time.monotonic() > deadline:
            for process in processes:
                process.kill()
        time.sleep(0.01)
    return [int(process.exitcode or 0) for process in processes]


def run(job: Job) -> str:
    """Run a job to its end; the digest of its weights."""
    assert end(start(job)) == [0] * job.size
    digest: str = json.loads((job.out / "manifest.json").read_text())["weights"]
    return digest


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / METRICS).read_text().splitlines()]


def curve(out: Path, measure: str = "loss") -> list[tuple[int, float]]:
    return [(line["step"], line[measure]) for line in lines(out)]


def file_changes(job: Job) -> int:
    """How many changes of files the first process of a job makes."""
    (job.out.parent / "changes").unlink(missing_ok=True)
    assert end(start(job, die_at=-1)) == [0] * job.size
    return int((job.out.parent / "changes").read_text())


def kill_somewhere(job: Job, seed: int, changes: int, seconds: float) -> list[int]:
    """Start a job and kill it at a random time or file; the exit codes."""
    dice = random.Random(seed)
    if seed % 2:
        return end(start(job, die_at=dice.randrange(1, changes)))
    processes = start(job)
    time.sleep(dice.uniform(0.0, seconds))
    number = dice.choice([signal.SIGTERM, signal.SIGKILL])
    for process in processes if number == signal.SIGTERM else processes[:1]:
        if process.is_alive() and process.pid:
            os.kill(process.pid, number)
    return end(processes)


def _work(job: Job, rank: int, port: int, die_at: int | None, crash_after: int | None) -> None:
    def crash(line: dict[str, Any]) -> None:
        if line["phase"] == "train" and line["done"] == crash_after:
            raise UmoError("crashed")

    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        torch.set_num_threads(1)
        os.environ.update(
            RANK=str(rank), WORLD_SIZE=str(job.size), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
        )
        count = _die_at(job, die_at) if die_at and rank == 0 else lambda: 0
        with joined(sharded=job.sharded) as world:
            train(
                job.config,
                base=_base(job),
                dataset=Dataset(job.data),
                pack=tiny_pack(),
                out=job.out,
                checkpoints=job.checkpoints,
                world=world,
                progress=crash,
            )
    except UmoError as error:
        print(error, file=sys.stderr)
        os._exit(int(error.exit_code))
    except KeyboardInterrupt:
        os._exit(75)
    if rank == 0 and die_at == -1:
        (job.out.parent / "changes").write_text(str(count()))
    os._exit(0)


def _base(job: Job) -> Any:
    if job.fused:
        return tiny_flux()
    return tiny(0) if job.flux else TinyModel()


def _die_at(job: Job, number: int) -> Callable[[], int]:
    """SIGKILL this process at the given change of a file below `out`; returns the count so far."""
    seen = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in FILE_EVENTS and str(arguments[0]).startswith(str(job.out)):
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    return lambda: seen
