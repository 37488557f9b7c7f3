"""Submits the training pipeline."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from umo.bases import EMBEDDED
from umo.config import to_mapping
from umo.errors import ExitCode, UmoError, UsageError
from umo.files import read_manifest, write_text
from umo.lineage import code_version
from umo.steps.journal import journal_path
from umo.steps.layout import Layout
from umo.steps.run import RunConfig, summary
from umo_pipelines.progress import Event, display

STEPS = ("synthesize tune", "synthesize held-out", "train", "evaluate", "register")
POLL_SECONDS = 0.25
GRACE_SECONDS = 20.0
FULL_DISK = 2**20
"""Bytes; with less, a step that says nothing of its end is taken to have filled the disk."""


def run_local(config: RunConfig, out: Path, *, progress: bool = True) -> dict[str, Any]:
    """Run the training pipeline on this machine by kfp's local runner.

    Every task is a process of its own; what they and kfp print goes to `<out>/logs/pipeline.log`.
    A step whose result is already in `out` is reused.

    Args:
        config: The whole run.
        out: Run folder, made if it is not there.
        progress: Whether to show the steps on stderr.

    Returns:
        `report`, `model`, `version`, `digest`, `seconds`, `peak_memory_mb` (of all processes
        together), `mlflow`, and the scores of the evaluation.

    Raises:
        NotFoundError: The base is no folder that umo wrote.
        UmoError: A step failed, with its message and exit code, or was interrupted.
        UsageError: Another run is writing to `out`.
    """
    started = time.monotonic()
    layout = Layout(out.resolve())
    with _locked(layout.out):
        peak = _run(config, layout, progress=progress)
        return {
            **summary(layout),
            "seconds": round(time.monotonic() - started, 1),
            "peak_memory_mb": peak // 2**20,
        }


def arguments(config: RunConfig, out: Path) -> dict[str, str]:
    """Parameters of the pipeline."""
    return {
        "out": str(out),
        "code": code_version(),
        "base": config.base,
        "base_digest": _base_digest(config.base),
        "pack": config.pack,
        "tune": json.dumps(to_mapping(config.tune)),
        "held_out": json.dumps(to_mapping(config.held_out)),
        "train": json.dumps(to_mapping(config.tuning)),
        "evaluation": json.dumps(to_mapping(config.evaluation)),
        "model": config.model,
    }


def _base_digest(base: str) -> str:
    digest: str = read_manifest(EMBEDDED if base == "embedded" else Path(base))["digest"]
    return digest


def _run(config: RunConfig, layout: Layout, *, progress: bool) -> int:
    """Run the pipeline; the most memory it held, in bytes."""
    peak = 0
    request = layout.logs / "arguments.json"
    write_text(request, json.dumps(arguments(config, layout.out), indent=1))
    log_path = layout.logs / "pipeline.log"
    reader = _Reader(journal_path(layout.out))
    with (
        log_path.open("w") as log,
        display(STEPS, enabled=progress) as screen,
        _child([sys.executable, "-m", "umo_pipelines.local", str(request)], log) as child,
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
def _locked(out: Path) -> Iterator[None]:
    """Keep other runs out of the folder `out`."""
    try:
        (out / "logs").mkdir(parents=True, exist_ok=True)
        lock = (out / "logs" / "lock").open("w")
    except OSError as error:
        raise UsageError(
            f"cannot use {out} as run folder: {error.strerror}", hint="choose another folder"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another run is writing to {out}", hint="wait for it or choose another folder"
            ) from None
        yield
