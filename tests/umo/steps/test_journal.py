import json
from pathlib import Path
from typing import Any

import pytest

from umo.errors import DiffersError, ExitCode, UmoError
from umo.steps import journal
from umo.steps.journal import Outcome


def events(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in journal.journal_path(out).read_text().splitlines()]


def test_finished_step(tmp_path: Path) -> None:
    with journal.step(tmp_path, "train") as pen:
        for done in range(1, 101):
            pen.progress({"done": done, "total": 100, "step": done, "reward": 0.5})
        digest = pen.finish(Outcome(folder=tmp_path, digest="d", reused=False))
    seen = events(tmp_path)
    assert digest == "d"
    assert [e["event"] for e in seen] == ["started", "progress", "progress", "finished"]
    assert (seen[2]["done"], seen[2]["step"]) == (100, "train")


def test_domain_error_keeps_message_hint_and_exit_code(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended, journal.step(tmp_path, "train"):
        raise DiffersError("a is not b", hint="make it again")
    last = events(tmp_path)[-1]
    assert ended.value.code == 5
    assert (last["event"], last["message"], last["hint"]) == (
        "failed",
        "a is not b",
        "make it again",
    )
    assert (last["exit_code"], last["retryable"]) == (5, False)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [(ZeroDivisionError("a\nb"), 1, "ZeroDivisionError: a b"), (KeyboardInterrupt(), 75, "inter")],
)
def test_any_end_is_one_line(tmp_path: Path, error: BaseException, code: int, text: str) -> None:
    with pytest.raises(SystemExit) as ended, journal.step(tmp_path, "train"):
        raise error
    assert ended.value.code == code
    assert events(tmp_path)[-1]["message"].startswith(text)


def attempt(out: Path, error: BaseException | None) -> int | str | None:
    """Exit code of a step that ends with an error; `done` if it worked to its end."""
    try:
        with journal.step(out, "train") as pen:
            if error:
                raise error
            return pen.finish(Outcome(folder=out, digest="done", reused=False))
    except SystemExit as ended:
        return ended.code


BUSY = UmoError("the ledger is busy", exit_code=ExitCode.INTERRUPTED, retryable=True)


def test_an_attempt_goes_on_after_75_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(journal.RUN, "run-1")
    assert attempt(tmp_path, KeyboardInterrupt()) == ExitCode.INTERRUPTED
    assert attempt(tmp_path, BUSY) == ExitCode.INTERRUPTED
    assert attempt(tmp_path, DiffersError("a is not b", hint="make it again")) == ExitCode.DIFFERS
    for _ in range(2):
        assert attempt(tmp_path, None) == ExitCode.DIFFERS
    assert "not tried again: a is not b; make it again" in capsys.readouterr().err
    last = events(tmp_path)[-1]
    assert (last["event"], last["message"], last["hint"]) == (
        "failed",
        "a is not b",
        "make it again",
    )


def test_an_attempt_that_was_killed_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(journal.RUN, "run-1")
    journal.Journal(tmp_path, "train").write("started")
    assert attempt(tmp_path, None) == ExitCode.FAILED
    assert "memory may have run out" in events(tmp_path)[-1]["hint"]


def test_other_runs_and_steps_are_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(journal.RUN, "run-1")
    journal.Journal(tmp_path, "evaluate").write("started")
    assert attempt(tmp_path, DiffersError("a is not b")) == ExitCode.DIFFERS
    monkeypatch.setenv(journal.RUN, "run-2")
    assert attempt(tmp_path, None) == "done"
    assert attempt(tmp_path, None) == "done"
    monkeypatch.delenv(journal.RUN)
    assert attempt(tmp_path, DiffersError("a is not b")) == ExitCode.DIFFERS
    assert attempt(tmp_path, None) == "done"
