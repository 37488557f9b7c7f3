"""The journal of a run: what each step says of itself, one JSON line an event.

Steps run in processes of their own; whoever started them reads here how far they are and, when
one fails, its message, hint and exit code.
"""

import json
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from umo.errors import ExitCode, UmoError
from umo.steps.layout import Layout

SECONDS_BETWEEN = 0.5

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
        self._written = 0.0
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, event: str, **facts: Any) -> None:
        """Append an event: `started`, `progress`, `finished` or `failed`."""
        line = {"time": time.time(), "step": self.step, "event": event, **facts}
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


def journal_path(out: Path) -> Path:
    """The journal of the run folder `out`."""
    return Layout(out).logs / "journal.jsonl"


@contextmanager
def step(out: Path, name: str) -> Iterator[Journal]:
    """Run a step of the run folder `out` as this process: a failure is journalled and exits.

    SIGTERM, which a preempted pod gets, interrupts the step: it cleans up and may be run again.

    Args:
        out: Run folder.
        name: The step's name.

    Raises:
        SystemExit: The step failed; the status is its exit code.
    """
    journal = Journal(out, name)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    journal.write("started")
    try:
        yield journal
    except UmoError as error:
        traceback.print_exc()
        _fail(journal, error)
    except KeyboardInterrupt:
        _fail(journal, UmoError("interrupted", exit_code=ExitCode.INTERRUPTED, retryable=True))
    except Exception as error:
        traceback.print_exc()
        text = " ".join(str(error).split())
        _fail(journal, UmoError(f"{type(error).__name__}: {text}"))


def _fail(journal: Journal, error: UmoError) -> None:
    journal.write(
        "failed",
        message=error.message,
        hint=error.hint,
        exit_code=int(error.exit_code),
        retryable=error.retryable,
    )
    raise SystemExit(int(error.exit_code))
