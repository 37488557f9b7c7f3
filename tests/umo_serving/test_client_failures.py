"""What a failure means: its kind, its exit code, and whether and when to try again."""

import json
import time

import pytest

from umo.errors import DeniedError, DiffersError, ExitCode, NotFoundError, UmoError, UsageError
from umo_serving.client.failures import UnavailableError, from_grpc, from_http
from umo_serving.client.retry import Patience


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, UsageError, ExitCode.USAGE),
        (401, DeniedError, ExitCode.DENIED),
        (403, DeniedError, ExitCode.DENIED),
        (404, NotFoundError, ExitCode.NOT_FOUND),
        (409, DiffersError, ExitCode.DIFFERS),
        (413, UsageError, ExitCode.USAGE),
        (429, UnavailableError, ExitCode.INTERRUPTED),
        (500, UmoError, ExitCode.FAILED),
        (502, UnavailableError, ExitCode.INTERRUPTED),
        (503, UnavailableError, ExitCode.INTERRUPTED),
        (504, UnavailableError, ExitCode.INTERRUPTED),
    ],
)
def test_http_statuses(status: int, kind: type[UmoError], code: ExitCode) -> None:
    error = from_http(status, json.dumps({"error": "said by the server"}).encode(), None)
    assert type(error) is kind
    assert error.exit_code == code
    assert error.retryable == (kind is UnavailableError)
    assert "said by the server" in str(error)


@pytest.mark.parametrize("body", [b"", b"<html>\n<body>Bad gateway", b"[]", b'{"detail": 1}'])
def test_a_gateway_without_words(body: bytes) -> None:
    assert str(from_http(502, body, None)) == "HTTP 502; try again"


@pytest.mark.parametrize(("header", "seconds"), [(None, 0.0), ("3", 3.0), ("Mon, 1 Jan", 0.0)])
def test_retry_after(header: str | None, seconds: float) -> None:
    error = from_http(429, b"", header)
    assert isinstance(error, UnavailableError)
    assert error.after == seconds


def test_a_dead_model_will_be_back() -> None:
    message = "Failed to process the request(s): Stub process 'umo_0_0' is not healthy."
    assert isinstance(from_grpc("INTERNAL", message), UnavailableError)
    assert isinstance(from_http(500, json.dumps({"error": message}).encode(), None), UmoError)


def test_pauses_grow_and_end() -> None:
    patience = Patience(timeout=60.0, retries=4)
    busy = UnavailableError("busy")
    pauses = [patience.pause(busy) for _ in range(4)]
    for pause, most in zip(pauses, (0.25, 0.5, 1.0, 2.0), strict=True):
        assert most / 2 <= pause <= most
    with pytest.raises(UnavailableError, match="busy"):
        patience.pause(busy)


def test_the_server_says_how_long_to_wait() -> None:
    assert Patience(timeout=60.0, retries=1).pause(UnavailableError("busy", after=7.0)) == 7.0


def test_no_pause_beyond_the_end() -> None:
    with pytest.raises(UnavailableError):
        Patience(timeout=5.0, retries=1).pause(UnavailableError("busy", after=7.0))


def test_what_will_not_pass_is_not_tried_again() -> None:
    patience = Patience(timeout=60.0, retries=4)
    for error in (UsageError("no"), DeniedError("no"), NotFoundError("no"), UmoError("no")):
        with pytest.raises(type(error)):
            patience.pause(error)


def test_time_runs_out() -> None:
    patience = Patience(timeout=0.02, retries=4)
    assert 0 < patience.left() <= 0.02
    time.sleep(0.03)
    assert 0 < patience.left() <= 0.001
