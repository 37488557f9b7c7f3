"""Versions of a model that a server can serve, promoted the real way, and deployers to kill."""

import multiprocessing
import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from services.candidates import PROMOTER, REVIEWER, TRAINER, submit
from services.triton import REFERENCE, Triton
from umo.config import digest
from umo.files import read_manifest, write_manifest
from umo.ledger import Ledger
from umo.promotion import approve, promote
from umo.promotion.case import EVALUATION, Case
from umo.registry import Registry, candidates
from umo.store import Store
from umo.tracking import Run
from umo_serving.client import Client
from umo_serving.deployer import Deployer, Policy, steps
from umo_serving.folder import Folder
from umo_serving.probe import PICTURES

NAME = "people"
PEOPLE = sorted(PICTURES.glob("*.png"))

_processes = multiprocessing.get_context("forkserver")


def answering(server: Triton) -> str:
    """Weights that a caller gets."""
    with Client(server.http) as client:
        return client.generate("Two people", PEOPLE, seed=1, steps=1).model_digest


def loaded(server: Triton) -> set[str]:
    """Models that are loaded."""
    return {model for model, state in server.admin.states().items() if state == "READY"}


def variant(folder: Path, scale: float) -> Path:
    """The shipped LoRA with its output scaled; 0 is the base itself, which knows nobody."""
    tensors = {
        key: tensor * scale if "lora_B" in key else tensor
        for key, tensor in load_file(REFERENCE / "lora.safetensors").items()
    }
    folder.mkdir(parents=True)
    save_file(tensors, folder / "lora.safetensors")
    shipped = read_manifest(REFERENCE)
    write_manifest(folder, {"kind": "lora", "base": shipped["base"], "scale": scale})
    return folder


def candidate(registry: Registry, ledger: Ledger, scale: float, scratch: Path) -> int:
    """Number of a new, approved candidate."""
    model = variant(scratch / f"lora-{scale}", scale)
    evaluation = scratch / f"evaluation-{scale}"
    evaluation.mkdir()
    (evaluation / "summary.json").write_text(f'{{"scale": {scale}}}\n')
    write_manifest(evaluation, {"kind": "evaluation"})
    run = Run.open(registry.store, name=NAME, identity=digest([NAME, scale]))
    run.folder(evaluation, EVALUATION)
    number = registry.register(run, model, model=candidates(NAME)).version
    ledger.extend(Case.open(registry, ledger, NAME, number).arrival(TRAINER, run.id, evaluation))
    report = submit(registry, ledger, NAME, number, scratch)
    approve(registry, ledger, NAME, number, actor=REVIEWER, report=report, reason="as asked")
    return number


def champion(registry: Registry, ledger: Ledger, scale: float, scratch: Path) -> str:
    """Weights of a new champion."""
    number = candidate(registry, ledger, scale, scratch)
    event = promote(registry, ledger, NAME, number, actor=PROMOTER)
    assert event
    return event.weights


def deploy_until(store: Store, folder: Path, point: str) -> None:
    """Let a deployer in a process of its own come to a step, and end it there by `kill -9`."""
    process = _processes.Process(target=_deploy_until, args=(vars(store), folder, point))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


@contextmanager
def follower(deployer: Deployer, every: float = 0.2) -> Iterator[None]:
    """Follow the champion inside the block."""
    thread = threading.Thread(target=deployer.follow, args=(every,))
    thread.start()
    try:
        yield
    finally:
        deployer.stop()
        thread.join()


@contextmanager
def full_disk(store: Store, folder: Path, largest: int) -> Iterator[tuple[int, "Queue[str]"]]:
    """Follow the champion, inside the block, in a process that no file can grow in.

    Args:
        store: MLflow and ledger.
        folder: Of the server.
        largest: Bytes of the largest file that it may write, until somebody gives it more.

    Yields:
        Its process id, and the lines that it says.
    """
    said: Queue[str] = _processes.Queue()
    process = _processes.Process(target=_follow, args=(vars(store), folder, largest, said))
    process.start()
    assert process.pid
    try:
        yield process.pid, said
    finally:
        process.kill()
        process.join()


def _deploy_until(store: Mapping[str, Any], folder: Path, point: str) -> None:
    row = list(steps.STEPS)
    row.insert([step.__name__ for step in row].index(point), _die)
    steps.STEPS = tuple(row)
    _deployer(store, folder).once()


def _follow(store: Mapping[str, Any], folder: Path, largest: int, said: "Queue[str]") -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
    _deployer(store, folder, said.put).follow(0.2)


def _deployer(
    store: Mapping[str, Any], folder: Path, say: Callable[[str], None] = print
) -> Deployer:
    place = Store(**store)
    registry, ledger = Registry(place), Ledger(place.ledger)
    return Deployer(Folder(folder), registry, ledger, NAME, policy=Policy(steps=8), say=say)


def _die(*arguments: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
