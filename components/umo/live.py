"""A training run in MLflow while it goes on: lines of metrics and pictures, as they come.

MLflow may be slow, away, or refuse: training never waits for it and never ends because of it. A
thread of its own sends what has come, in order; while that fails it is kept and tried again with
the next line. All of it stands in the run's folder in any case.
"""

import logging
import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from umo.errors import ExitCode, UmoError
from umo.store import Store
from umo.tracking import Run

PATIENCE = 15.0
"""Seconds that the end of a run waits for a server to get what has not been sent."""
PROGRESS = ("phase", "done", "total")
"""Facts of a line that are no measures."""

Status = Literal["FINISHED", "FAILED", "KILLED"]

log = logging.getLogger(__name__)


class Live:
    """Takes what a run reports; a callable like any progress.

    Args:
        store: Whose MLflow.
        identity: Of the result in the making; a run that goes on finds its MLflow run by it.
        folder: Of the run, where pictures are.
        parameters: Nested settings.
    """

    def __init__(
        self, store: Store, *, identity: str, folder: Path, parameters: Mapping[str, Any]
    ) -> None:
        self._store = store
        self._identity = identity
        self._folder = folder
        self._parameters = parameters
        self._news: queue.SimpleQueue[Mapping[str, Any] | Status] = queue.SimpleQueue()
        self._unsent: list[Mapping[str, Any] | Status] = []
        self._run: Run | None = None
        self._warned = False
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def __call__(self, facts: Mapping[str, Any]) -> None:
        """Take a line of metrics, or the name of a picture; anything else is passed over."""
        if "step" in facts or "picture" in facts:
            self._news.put(dict(facts))

    def close(self, status: Status) -> None:
        """Say how the run ended, and wait until MLflow knows: for a server only a little."""
        self._news.put(status)
        self._thread.join(PATIENCE if self._store.file is None else None)
        left = len(self._unsent) + self._news.qsize()
        if left:
            log.warning("MLflow has not got the last %d reports; %s has", left, self._folder)

    def _work(self) -> None:
        ended = False
        while not ended:
            self._unsent.append(self._news.get())
            ended = isinstance(self._unsent[-1], str)
            try:
                self._send()
            except (UmoError, OSError) as error:
                if not self._warned:
                    log.warning("training goes on without MLflow: %s", error)
                self._warned = True

    def _send(self) -> None:
        run = self._run or self._open()
        while self._unsent:
            news = self._unsent[0]
            if isinstance(news, str):
                run.finish(news)
            elif "picture" in news:
                name = Path(news["picture"])
                run.file(self._folder / name, str(name.parent))
            else:
                measures = {key: value for key, value in news.items() if key not in PROGRESS}
                run.points([measures])
            self._unsent.pop(0)

    def _open(self) -> Run:
        name = f"training {self._identity[:8]}"
        run = Run.open(self._store, name=name, identity=self._identity)
        run.start()
        run.parameters(self._parameters)
        self._run = run
        return run


@contextmanager
def followed(
    store: Store | None, *, identity: str, folder: Path, parameters: Mapping[str, Any]
) -> Iterator[Live | None]:
    """What reports to MLflow inside the block; None without a store.

    Args:
        store: Whose MLflow, if any.
        identity: Of the result in the making.
        folder: Of the run.
        parameters: Nested settings.
    """
    if store is None:
        yield None
        return
    live = Live(store, identity=identity, folder=folder, parameters=parameters)
    status: Status = "FAILED"
    try:
        yield live
        status = "FINISHED"
    except UmoError as error:
        status = "KILLED" if error.exit_code == ExitCode.INTERRUPTED else "FAILED"
        raise
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        live.close(status)
