import pytest

from umo.errors import (
    DeniedError,
    DiffersError,
    ExitCode,
    NotFoundError,
    UmoError,
    UsageError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UmoError("x"), ExitCode.FAILED),
        (UsageError("x"), ExitCode.USAGE),
        (NotFoundError("x"), ExitCode.NOT_FOUND),
        (DiffersError("x"), ExitCode.DIFFERS),
        (DeniedError("x"), ExitCode.DENIED),
    ],
)
def test_exit_codes(error: UmoError, code: ExitCode) -> None:
    assert error.exit_code == code
    assert not error.retryable


def test_hint_follows_the_message() -> None:
    assert str(UsageError("3 is not 4", hint="give 4")) == "3 is not 4; give 4"
    assert str(UsageError("3 is not 4")) == "3 is not 4"
