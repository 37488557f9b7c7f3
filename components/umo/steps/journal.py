"""The journal of a run: what each step says of itself, one JSON line an event.

Steps run in processes of their own; whoever started them reads here how far they are and, when
one fails, its message, hint and exit code.

Kubeflow Pipelines tries a failed task again whatever its exit code was. So a step that is an
attempt of a run there reads how the attempt before ended, and goes on only after exit code 75.
"""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from umo.errors import ExitCode, UmoError, without_passwords
from umo.steps.layout import Layout

SECONDS_BETWEEN = 0.5
RUN = "UMO_PIPELINE_RUN"
"""Variable: the run of Kubeflow Pipelines that this process is an attempt of; elsewhere unset."""

Progress = Callable[[dict[str, Any]], None]
"""Takes `done` and `total`, and whatever else a step measures."""


def ignore(facts: dict[str, Any]) -> None:
    """Progress nobody follows."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a step leaves behind."""

    folder: Path
    """Where its result is."""
    digest: str
    """Of the result's files, as its manifest says."""
    reused: bool
    """Whether the result of an earlier run was there already."""


class Journal:
    """One step's pen: events go to `<run folder>/logs/journal.jsonl`."""

    def __init__(self, out: Path, step: str) -> None:
        self.path = journal_path(out)
        self.step = step
        self._run = os.environ.get(RUN, "")
        self._written = 0.0
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, event: str, **facts: Any) -> None:
        """Append an event: `started`, `progress`, `finished` or `failed`."""
        line = {**facts, "time": time.time(), "step": self.step, "event": event}
        if self._run:
            line["run"] = self._run
        with self.path.open("a") as stream:
            stream.write(json.dumps(line) + "\n")

    def finish(self, outcome: Outcome) -> str:
        """Append what the step left behind; returns its digest."""
        self.write("finished", digest=outcome.digest, reused=outcome.reused)
        return outcome.digest

    def progress(self, facts: dict[str, Any]) -> None:
        """Append how far the step is (`done`, `total`, more), at most twice a second."""
        now = time.monotonic()
        if now - self._written >= SECONDS_BETWEEN or facts["done"] == facts["total"]:
            self._written = now
            self.write("progress", **facts)

    def verdict(self) -> UmoError | None:
        """How the attempt before this one failed, if it was not interrupted."""
        mine = [
            event
            for event in (read(self.path) if self._run else [])
            if (event["step"], event.get("run")) == (self.step, self._run)
        ]
        if not mine or mine[-1]["event"] == "finished":
            return None
        last = mine[-1]
        if last["event"] != "failed":
            return UmoError(
                "the attempt before ended without a word",
                hint="memory may have run out, or its node is gone: submit the run again",
            )
        if last["exit_code"] == ExitCode.INTERRUPTED:
            return None
        return UmoError(last["message"], hint=last["hint"], exit_code=ExitCode(last["exit_code"]))


def journal_path(out: Path) -> Path:
    """The journal of the run folder `out`."""
    return Layout(out).logs / "journal.jsonl"


def read(path: Path) -> list[dict[str, Any]]:
    """The events of a journal, without lines that are not whole; none if there is no file."""
    events = []
    for line in path.read_text().splitlines() if path.is_file() else []:
        with suppress(ValueError):  # a full disk cuts a line short
            events.append(json.loads(line))
    return events


@contextmanager
def step(out: Path, name: str) -> Iterator[Journal]:
    """Run a step of the run folder `out` as this process: a failure is journalled and exits.

    SIGTERM, which a preempted pod gets, interrupts the step: it cleans up and may be run again.
    A second attempt of the same run (`RUN`) fails as the first did, unless that was interrupted.

    Args:
        out: Run folder.
        name: The step's name.

    Raises:
        SystemExit: The step failed; the status is its exit code.
    """
    journal = Journal(out, name)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if verdict := journal.verdict():
        print(f"not tried again: {verdict}", file=sys.stderr)
        _fail(journal, verdict)
    journal.write("started")
    try:
        yield journal
    except UmoError as error:
        _trace()
        _fail(journal, error)
    except KeyboardInterrupt:
        _fail(journal, UmoError("interrupted", exit_code=ExitCode.INTERRUPTED, retryable=True))
    except Exception as error:
        _trace()
        text = " ".join(str(error).split())
        _fail(journal, UmoError(f"{type(error).__name__}: {text}"))


def _trace() -> None:
    print(without_passwords(traceback.format_exc()), file=sys.stderr)


def _fail(journal: Journal, error: UmoError) -> NoReturn:
    journal.write(
        "failed",
        message=error.message,
        hint=error.hint,
        exit_code=int(error.exit_code),
        retryable=error.retryable,
    )
    raise SystemExit(int(error.exit_code))
