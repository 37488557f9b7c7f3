"""Versions of a model that a server can serve, promoted the real way, and deployers to kill."""

import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

import umo
from services.candidates import PROMOTER, REVIEWER, TRAINER, submit
from services.processes import daemon, free_ports
from services.triton import SECONDS, Triton
from umo.config import digest
from umo.errors import NotFoundError
from umo.files import read_manifest, write_manifest
from umo.ledger import Ledger
from umo.promotion import approve, promote
from umo.promotion.case import EVALUATION, Case
from umo.registry import Registry, candidates
from umo.store import Store
from umo.tracking import Run
from umo_serving import environment
from umo_serving.client import Client
from umo_serving.deployer import Deployer, Policy, steps
from umo_serving.folder import Folder, Settings
from umo_serving.probe import PICTURES

REFERENCE = Path(umo.__file__).parent / "assets" / "reference"
NAME = "people"
PEOPLE = sorted(PICTURES.glob("*.png"))

_processes = multiprocessing.get_context("forkserver")


@contextmanager
def empty_server(folder: Path) -> Iterator[Triton]:
    """Run a server inside the block that has no version of a model yet."""
    try:
        environment.find()
    except NotFoundError:
        pytest.skip("no tritonserver here: run `umo serve setup`")
    place = Folder(folder)
    http, grpc, metrics, *inner = free_ports(6)
    settings = Settings(
        http_port=http, grpc_port=grpc, metrics_port=metrics, inner_ports=tuple(inner)
    )
    place.prepare(settings)
    command = [sys.executable, "-m", "umo_serving.supervisor", str(folder)]
    served = Triton(place, settings, "")
    with daemon(command, log=place.log, ready=served.admin.ready, seconds=SECONDS):
        yield served


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


def start(store: Store, folder: Path, point: str, *, largest: int | None = None) -> BaseProcess:
    """A deployer in a process of its own.

    Args:
        store: MLflow and ledger.
        folder: Of the server.
        point: Step before which it ends by `kill -9`; nothing for none.
        largest: Bytes of the largest file that it may write, as on a full disk.
    """
    process = _processes.Process(target=_deploy, args=(vars(store), folder, point, largest))
    process.start()
    return process


def _deploy(store: Mapping[str, Any], folder: Path, point: str, largest: int | None) -> None:
    place = Store(**store)
    registry, ledger = Registry(place), Ledger(place.ledger)
    row = list(steps.STEPS)
    if point:
        row.insert([step.__name__ for step in row].index(point), _die)
    steps.STEPS = tuple(row)
    if largest is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    Deployer(Folder(folder), registry, ledger, NAME, policy=Policy(steps=8)).once()


def _die(*arguments: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
