"""Programs that a supervisor started, and what those leave behind."""

import ctypes
import os
import signal
import time

import psutil

SET_CHILD_SUBREAPER = 36
"""Of prctl: the children of a child that dies become our children."""


class Child:
    """A process that is a child of this one.

    Args:
        name: What to call it.
        pid: Its process id.
    """

    def __init__(self, name: str, pid: int) -> None:
        self.name = name
        self.pid = pid
        self.status: int | None = None
        """Exit status once it ended; minus the signal that ended it."""
        self._started = time.monotonic()

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._started

    def gone(self) -> bool:
        """Whether it ended."""
        if self.status is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def end(self, seconds: float) -> None:
        """Ask it to end, and kill it if it has not after `seconds`."""
        if self.gone():
            return
        os.kill(self.pid, signal.SIGTERM)
        last = time.monotonic() + seconds
        while not self.gone() and time.monotonic() < last:
            time.sleep(0.1)
        if not self.gone():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def adopt_orphans() -> None:
    """Become the parent of whatever children leave behind when they die."""
    ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, 1)


def kill_orphans(*kept: Child | None) -> None:
    """Kill every child of this process but `kept`: Triton's models survive it for a while."""
    pids = {child.pid for child in kept if child}
    for orphan in psutil.Process().children():
        if orphan.pid not in pids:
            orphan.kill()
            os.waitpid(orphan.pid, 0)
