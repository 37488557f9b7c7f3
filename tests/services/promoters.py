"""Promoters in processes of their own, some of which are killed at a chosen step.

Processes come from a fork server that has never opened a database: they start in a moment and
share nothing.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from services.candidates import PROMOTER
from umo.errors import DiffersError, UmoError
from umo.ledger import Ledger
from umo.promotion import promote, rollback
from umo.promotion.steps import PROMOTION, ROLLBACK, STEPS
from umo.registry import Registry
from umo.store import Store

CLOSE = "close"
"""The point after the last step, before the row that closes the change."""
VERSION = "version"
"""The point in the copy where the files are stored and MLflow is to make a version of them."""
PROMOTION_POINTS = (*(step.__name__ for step in PROMOTION), VERSION, CLOSE)
ROLLBACK_POINTS = (*(step.__name__ for step in ROLLBACK), CLOSE)

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["umo.promotion", "psycopg"])


def start(work: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Run a function of this module in a process of its own."""
    process = _processes.Process(target=work, args=arguments)
    process.start()
    return process


def open_store(environment: Mapping[str, str]) -> tuple[Registry, Ledger]:
    """What a command finds in this environment."""
    os.environ.update(environment)
    store = Store.of_run(Path("no run folder"))
    return Registry(store), Ledger(store.ledger)


def killed_promotion(environment: Mapping[str, str], name: str, number: int, point: str) -> None:
    """Promote a candidate, but end by `kill -9` just before a step."""
    registry, ledger = open_store(environment)
    if point == VERSION:
        MlflowClient.create_model_version = _die
    else:
        _die_before(point, "promoted")
    promote(registry, ledger, name, number, actor=PROMOTER)


def killed_rollback(environment: Mapping[str, str], name: str, point: str) -> None:
    """Roll back, but end by `kill -9` just before a step."""
    registry, ledger = open_store(environment)
    _die_before(point, "rolled_back")
    rollback(registry, ledger, name, actor=PROMOTER, reason="worse on Mondays")


def promote_all(environment: Mapping[str, str], name: str, numbers: Iterable[int]) -> None:
    """Promote one candidate after the other, again where somebody else held the ledger."""
    registry, ledger = open_store(environment)
    for number in numbers:
        while True:
            try:
                promote(registry, ledger, name, number, actor=PROMOTER)
            except UmoError as error:
                if not error.retryable:
                    raise
            else:
                break


def promote_over(environment: Mapping[str, str], name: str, number: int, expected: int) -> None:
    """Promote a candidate if the champion is the expected one; exit 5 if it is not."""
    registry, ledger = open_store(environment)
    try:
        promote(registry, ledger, name, number, actor=PROMOTER, expected=expected)
    except DiffersError as error:
        raise SystemExit(int(error.exit_code)) from error


def _die_before(point: str, action: str) -> None:
    steps = list(STEPS[action])
    names = [step.__name__ for step in steps]
    steps.insert(names.index(point) if point in names else len(steps), _die)
    STEPS[action] = tuple(steps)


def _die(*arguments: Any, **named: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
