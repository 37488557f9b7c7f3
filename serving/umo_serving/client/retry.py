"""How long one call may take, and when it tries again."""

import random
import time

from umo.errors import UmoError
from umo_serving.client.failures import UnavailableError

RETRIES = 4
"""Repetitions of a call, unless said otherwise."""
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 8.0


class Patience:
    """The time and the tries that one call has left.

    Args:
        timeout: Seconds for the whole call, pauses included.
        retries: How often a call is repeated after a failure that may pass.
    """

    def __init__(self, timeout: float, retries: int) -> None:
        self._end = time.monotonic() + timeout
        self._retries = retries
        self._pause = FIRST_PAUSE
        self.repeated = 0
        """How often it was repeated."""

    def left(self) -> float:
        """Seconds left, above 0."""
        return max(self._end - time.monotonic(), 0.001)

    def pause(self, error: UmoError) -> float:
        """Seconds to wait before the next try: twice as long each time, less a random part.

        Args:
            error: Why the last try failed.

        Raises:
            UmoError: `error`, when it will not pass, or no try or time is left.
        """
        if not isinstance(error, UnavailableError) or self.repeated == self._retries:
            raise error
        pause = max(self._pause * random.uniform(0.5, 1.0), error.after)
        if pause >= self.left():
            raise error
        self.repeated += 1
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return pause
