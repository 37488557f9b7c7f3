"""Runs a pipeline on this machine as a process of its own and follows its journal."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import psutil

from umo.errors import ExitCode, UmoError, UsageError
from umo.files import exclusive, write_text
from umo.steps.journal import journal_path
from umo.steps.layout import Layout
from umo_pipelines.progress import Event, display

POLL_SECONDS = 0.25
GRACE_SECONDS = 20.0
FULL_DISK = 2**20
"""Bytes; with less, a step that says nothing of its end is taken to have filled the disk."""

Pipeline = Literal["training", "evaluation", "promotion", "data"]


def run_pipeline(
    pipeline: Pipeline,
    values: Mapping[str, Any],
    layout: Layout,
    *,
    steps: Sequence[str],
    progress: bool,
) -> int:
    """Run a pipeline by kfp's local runner until it ends.

    Every task is a process of its own; what they and kfp print goes to `<out>/logs/pipeline.log`.

    Args:
        pipeline: Which one.
        values: Its parameters.
        layout: The run folder; nobody else may be running in it.
        steps: Names of the steps in the journal, in order.
        progress: Whether to show them on stderr.

    Returns:
        The most memory that all processes together held, in bytes.

    Raises:
        UmoError: A step failed, with its message and exit code, or was interrupted.
    """
    peak = 0
    request = layout.logs / "arguments.json"
    write_text(request, json.dumps(values, indent=1))
    log_path = layout.logs / "pipeline.log"
    reader = _Reader(journal_path(layout.out))
    command = [sys.executable, "-m", "umo_pipelines.local", pipeline, str(request)]
    with (
        log_path.open("w") as log,
        display(steps, enabled=progress) as screen,
        _child(command, log) as child,
    ):
        while True:
            ended = child.poll() is not None
            for event in reader.new():
                screen.show(event)
            if ended:
                break
            peak = max(peak, resident_memory())
            time.sleep(POLL_SECONDS)
    if child.returncode:
        raise _failure(reader.events, log_path)
    return peak


def resident_memory() -> int:
    """Bytes that this process and all below it hold now; pages they share count for each."""
    total = 0
    for process in (this := psutil.Process(), *this.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


class _Reader:
    """Reads a journal as it grows, from an empty one."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self.events: list[Event] = []
        self._path = path
        self._offset = 0

    def new(self) -> list[Event]:
        """Events written since the last call."""
        if not self._path.is_file():
            return []
        with self._path.open("rb") as stream:
            stream.seek(self._offset)
            whole = stream.read().rpartition(b"\n")[0]
        if not whole:
            return []
        self._offset += len(whole) + 1
        fresh: list[Event] = []
        for line in whole.splitlines():
            with suppress(ValueError):  # a full disk cuts a line short
                fresh.append(json.loads(line))
        self.events += fresh
        return fresh


def _failure(events: list[Event], log: Path) -> UmoError:
    for event in events:
        if event["event"] == "failed":
            return UmoError(
                f"{event['step']}: {event['message']}",
                hint=event["hint"] or f"see {log}",
                exit_code=ExitCode(event["exit_code"]),
                retryable=event["retryable"],
            )
    where = events[-1]["step"] if events else "the pipeline"
    free = shutil.disk_usage(log.parent).free
    if free < FULL_DISK:
        return UmoError(
            f"{where} stopped: {free} bytes are free on the disk of {log.parent}",
            hint="free space there and give the same command again",
        )
    return UmoError(
        f"{where} ended without a result", hint=f"memory or disk may have run out; see {log}"
    )


@contextmanager
def _child(command: list[str], log: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process group that does not outlive the block; SIGINT and SIGTERM end it and the block."""
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        with _terminable():
            yield child
    except KeyboardInterrupt:
        raise UmoError(
            "interrupted",
            hint="the same command goes on from the last finished step",
            exit_code=ExitCode.INTERRUPTED,
            retryable=True,
        ) from None
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGTERM)
            try:
                child.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM acts as an interrupt, where a handler may be set."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keep other runs out of the folder `out`.

    Raises:
        UsageError: Another one is there, or the folder cannot be used.
    """
    lock = out / "logs" / "lock"
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
    except OSError as error:
        raise UsageError(
            f"cannot use {out} as run folder: {error.strerror}", hint="choose another folder"
        ) from error
    refusal = UsageError(
        f"another run is writing to {out}", hint="wait for it or choose another folder"
    )
    with exclusive(lock, refusal):
        yield
