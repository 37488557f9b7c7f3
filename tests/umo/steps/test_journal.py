import json
from pathlib import Path
from typing import Any

import pytest

from umo.errors import DiffersError
from umo.steps import journal
from umo.steps.journal import Outcome


def events(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in journal.journal_path(out).read_text().splitlines()]


def test_finished_step(tmp_path: Path) -> None:
    with journal.step(tmp_path, "train") as pen:
        for done in range(1, 101):
            pen.progress({"done": done, "total": 100, "reward": 0.5})
        digest = pen.finish(Outcome(folder=tmp_path, digest="d", reused=False))
    seen = events(tmp_path)
    assert digest == "d"
    assert [e["event"] for e in seen] == ["started", "progress", "progress", "finished"]
    assert seen[2]["done"] == 100


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
