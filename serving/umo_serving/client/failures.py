"""What went wrong on the other side, as the errors of `umo.errors`."""

import json

from umo.errors import DeniedError, DiffersError, ExitCode, NotFoundError, UmoError, UsageError
from umo_serving.failures import FAILED, KINDS, UNAVAILABLE, parse

_GRPC_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "UNAVAILABLE",
    409: "FAILED_PRECONDITION",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "UNAVAILABLE",
}
"""The gRPC status of each HTTP status that says more than success or failure."""

_DEAD_MODEL = "Stub process"
"""Part of what Triton answers while the process of the model is gone."""


class UnavailableError(UmoError):
    """The server cannot answer now; the same call may succeed later.

    Args:
        message: What is wrong.
        hint: What to do about it.
        after: Seconds that the server asks to wait.
    """

    def __init__(self, message: str, *, hint: str = "try again", after: float = 0.0) -> None:
        super().__init__(message, hint=hint, exit_code=ExitCode.INTERRUPTED, retryable=True)
        self.after = after


def from_http(status: int, body: bytes, retry_after: str | None) -> UmoError:
    """The error of an HTTP answer other than 200.

    Args:
        status: HTTP status.
        body: Triton's JSON with `error`, or whatever a gateway sent.
        retry_after: The header `Retry-After`.
    """
    try:
        message = str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        message = f"HTTP {status}"
    after = float(retry_after) if retry_after and retry_after.isdecimal() else 0.0
    return from_grpc(_GRPC_CODES.get(status, "UNKNOWN"), message, after=after)


def from_grpc(code: str, message: str, *, after: float = 0.0) -> UmoError:
    """The error of a gRPC status.

    Args:
        code: Name of the status, such as `INVALID_ARGUMENT`.
        message: What the server says about it.
        after: Seconds that the server asks to wait.
    """
    kind, separator, text = message.partition(": ")
    if separator and kind == UNAVAILABLE:
        return UnavailableError(text, hint="", after=after)
    if separator and kind in (*KINDS.values(), FAILED):
        return parse(message)
    if _DEAD_MODEL in message:
        return UnavailableError("the model's process died and is being restarted", after=after)
    match code:
        case "INVALID_ARGUMENT" | "OUT_OF_RANGE":
            return UsageError(message)
        case "NOT_FOUND":
            return NotFoundError(message)
        case "UNAUTHENTICATED" | "PERMISSION_DENIED":
            return DeniedError(message, hint="give a key that may do this")
        case "FAILED_PRECONDITION" | "ALREADY_EXISTS":
            return DiffersError(message)
        case "DEADLINE_EXCEEDED":
            return UnavailableError("no answer in time", hint="allow more time, or try again")
        case "UNAVAILABLE" | "RESOURCE_EXHAUSTED" | "ABORTED":
            return UnavailableError(message, after=after)
        case _:
            return UmoError(f"the server failed: {message}")
