"""Errors on their way to a caller: one line, `kind: what is wrong; what to do`, and no file paths.

The kinds are `usage`, `not-found`, `denied`, `differs`, `unavailable` (the same call may succeed
later), `cancelled` and `failed`.
"""

import re

from umo.errors import DeniedError, DiffersError, ExitCode, NotFoundError, UmoError, UsageError
from umo_serving.request import CancelledError

KINDS: dict[type[UmoError], str] = {
    UsageError: "usage",
    NotFoundError: "not-found",
    DeniedError: "denied",
    DiffersError: "differs",
    CancelledError: "cancelled",
}
UNAVAILABLE = "unavailable"
FAILED = "failed"
PATH = re.compile(r"(?<![\w.:/])(?:~|\.{0,2})/[^\s:;,'\")]+")


def unavailable(message: str) -> UmoError:
    """The error of a server that cannot answer now."""
    return UmoError(message, hint="try again", exit_code=ExitCode.INTERRUPTED, retryable=True)


def kind_of(error: BaseException) -> str:
    """Kind of an error; `failed` for everything that nobody expected."""
    if isinstance(error, UmoError) and error.retryable:
        return UNAVAILABLE
    return next((kind for cls, kind in KINDS.items() if isinstance(error, cls)), FAILED)


def describe(error: BaseException, request_id: str) -> str:
    """The line that the caller gets.

    Args:
        error: What happened.
        request_id: Name of the call; all that an unexpected error says.
    """
    if not isinstance(error, UmoError):
        return f"{FAILED}: the server failed at request {request_id}; its log says why"
    return f"{kind_of(error)}: {PATH.sub('(a file)', ' '.join(str(error).split()))}"


def parse(line: str) -> UmoError:
    """The error of a line that `describe` wrote; any other line is an unexpected failure."""
    kind, separator, message = line.partition(": ")
    if separator and kind == UNAVAILABLE:
        return UmoError(message, exit_code=ExitCode.INTERRUPTED, retryable=True)
    if separator and kind == "cancelled":
        return CancelledError()
    for cls, name in KINDS.items():
        if separator and kind == name:
            return cls(message)
    return UmoError(message if separator and kind == FAILED else line)
