"""Domain errors: what happened, what to do, and how the process ends."""

import re
from enum import IntEnum

PASSWORD = re.compile(r"(://[^\s/:@]*:)[^\s/]*@")
"""Of a URL, with what comes before it."""


class ExitCode(IntEnum):
    """Exit codes of every `umo` command and pipeline step."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    DENIED = 4
    DIFFERS = 5
    INTERRUPTED = 75


def without_passwords(text: str) -> str:
    """A text whose URLs have `***` for a password; libraries put the address into their errors."""
    return PASSWORD.sub(r"\1***@", text)


class UmoError(Exception):
    """An expected failure, shown to the user as one line.

    Args:
        message: What is wrong, with both values where two disagree; passwords of URLs are hidden.
        hint: What to do about it.
        exit_code: How the process ends.
        retryable: Whether the same call may succeed later without a change.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        exit_code: ExitCode = ExitCode.FAILED,
        retryable: bool = False,
    ) -> None:
        self.message = without_passwords(message)
        super().__init__(self.message)
        self.hint = hint
        self.exit_code = exit_code
        self.retryable = retryable

    def __str__(self) -> str:
        """The message and its hint on one line."""
        return f"{self.message}; {self.hint}" if self.hint else self.message


class UsageError(UmoError):
    """A wrong argument, configuration or input file."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint, exit_code=ExitCode.USAGE)


class NotFoundError(UmoError):
    """A named file, folder, model or version does not exist."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint, exit_code=ExitCode.NOT_FOUND)


class DeniedError(UmoError):
    """Not allowed: by a gate, by a rule of the review, or for want of rights or a key."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint, exit_code=ExitCode.DENIED)


class DiffersError(UmoError):
    """A digest, key set or state is not the expected one."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint, exit_code=ExitCode.DIFFERS)
