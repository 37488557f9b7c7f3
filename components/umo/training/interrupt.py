"""SIGTERM and Ctrl-C while training: the step is finished and saved before the process ends."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from umo.errors import ExitCode, UmoError

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """Whether this process was asked to end."""

    asked = False


@contextmanager
def deferred() -> Iterator[Interruption]:
    """Note the first SIGTERM or SIGINT instead of ending; a second SIGINT ends at once.

    Only the main thread can take signals: elsewhere nothing changes.
    """
    interruption = Interruption()

    def note(number: int, frame: FrameType | None) -> None:
        if interruption.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        interruption.asked = True

    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupted(step: int) -> UmoError:
    """What ends a run that was asked to end, after step `step` was saved."""
    return UmoError(
        f"interrupted after step {step}, which is saved",
        hint="the same command goes on from there",
        exit_code=ExitCode.INTERRUPTED,
        retryable=True,
    )
