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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET http://anna:s3cret@host:80/x failed", "GET http://anna:***@host:80/x failed"),
        ("postgresql+psycopg://umo:p@ss@host/a, b@c", "postgresql+psycopg://umo:***@host/a, b@c"),
        ("http://host:80/a@b and c:d@e", "http://host:80/a@b and c:d@e"),
        ("sqlite:////runs/x.db", "sqlite:////runs/x.db"),
    ],
)
def test_passwords_of_addresses_are_hidden(text: str, shown: str) -> None:
    assert str(UmoError(text)) == shown
