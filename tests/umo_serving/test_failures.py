from pathlib import Path

import pytest

from umo.errors import DeniedError, DiffersError, NotFoundError, UmoError, UsageError
from umo_serving.failures import describe, kind_of, parse, unavailable
from umo_serving.request import CancelledError


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UsageError("steps is 0", hint="use 1"), "usage: steps is 0; use 1"),
        (NotFoundError("no such model"), "not-found: no such model"),
        (DeniedError("no"), "denied: no"),
        (DiffersError("a is b"), "differs: a is b"),
        (unavailable("busy"), "unavailable: busy; try again"),
        (CancelledError(), "cancelled: the caller went away"),
        (UmoError("broken"), "failed: broken"),
    ],
)
def test_an_error_survives_its_way(error: UmoError, line: str) -> None:
    assert describe(error, "r") == line
    found = parse(line)
    assert kind_of(found) == kind_of(error)
    assert type(found) is type(error)
    assert str(found) == str(error)


@pytest.mark.parametrize(
    "message",
    [
        "/var/models/umo/lora.safetensors has sha256 1, its manifest says 2",
        "cannot read '/home/anna/model': no such file",
        "cannot write ./runs/x/y: disk full",
        "~/.cache/umo is missing",
    ],
)
def test_no_path_leaves_the_server(message: str) -> None:
    line = describe(DiffersError(message), "r")
    assert "/" not in line
    assert "(a file)" in line


def test_what_is_no_path_stays() -> None:
    line = "usage: 1/2 of https://example.org/x is 0.5"
    assert describe(UsageError(line.removeprefix("usage: ")), "r") == line


def test_an_unexpected_error_says_nothing_but_its_request() -> None:
    try:
        Path("/no/such/place").read_bytes()
    except OSError as error:
        line = describe(error, "r-1")
    assert line == "failed: the server failed at request r-1; its log says why"


def test_a_strange_line_is_a_failure() -> None:
    assert str(parse("Socket closed")) == "Socket closed"
    assert kind_of(parse("Socket closed")) == "failed"
