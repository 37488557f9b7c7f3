"""What is tried again, by kfp's own runner with the policy that our tasks have."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from umo.errors import ExitCode
from umo.steps import journal

PROGRAM = """
import sys
from kfp import dsl, local
from umo_pipelines.local import once
from umo_pipelines.placement import retried

@dsl.component(base_image="python", install_kfp_package=False)
def work(out: str, code: int, good: int) -> str:
    from pathlib import Path
    from umo.errors import ExitCode, UmoError
    from umo.steps import journal
    from umo.steps.journal import Outcome

    with journal.step(Path(out), "work") as pen:
        attempts = Path(out) / "attempts"
        attempts.write_text((attempts.read_text() if attempts.exists() else "") + "x")
        if len(attempts.read_text()) < good:
            raise UmoError("it broke", exit_code=ExitCode(code))
        return pen.finish(Outcome(folder=Path(out), digest="d", reused=False))

@dsl.pipeline
def pipeline(out: str, code: int, good: int) -> str:
    return retried(work(out=out, code=code, good=good)).output

out, code, good, again = sys.argv[1:]
task = pipeline.pipeline_spec.root.dag.tasks["work"]
assert task.retry_policy.max_retry_count == 3
task.retry_policy.backoff_duration.seconds = 0
local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=out + "/kfp")
(pipeline if again == "again" else once(pipeline))(out=out, code=int(code), good=int(good))
"""


def run(out: Path, code: ExitCode, *, good: int, again: bool = True) -> tuple[int, int]:
    """Exit code of the pipeline, and how many attempts worked.

    Args:
        out: Run folder.
        code: How each attempt fails.
        good: The first attempt that does not.
        again: Whether as on a cluster; else as `umo run` does.
    """
    arguments = [str(out), str(int(code)), str(good), "again" if again else "once"]
    program = out / "program.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, **({journal.RUN: "run-1"} if again else {})}
    done = subprocess.run(
        [sys.executable, str(program), *arguments],
        env=environment,
        cwd=out,
        capture_output=True,
        text=True,
    )
    assert "it broke" in done.stdout
    return done.returncode, len((out / "attempts").read_text())


def test_75_is_tried_again(tmp_path: Path) -> None:
    assert run(tmp_path, ExitCode.INTERRUPTED, good=3) == (0, 3)


@pytest.mark.parametrize("code", [ExitCode.FAILED, ExitCode.DENIED])
def test_no_other_exit_code_is(tmp_path: Path, code: ExitCode) -> None:
    """KFP starts three further attempts; none of them works, and all end alike."""
    assert run(tmp_path, code, good=2) == (1, 1)
    events = journal.read(journal.journal_path(tmp_path))
    failed = [event for event in events if event["event"] == "failed"]
    assert [event["exit_code"] for event in failed] == [code] * 4
    assert {event["message"] for event in failed} == {"it broke"}


def test_here_nothing_is_tried_again(tmp_path: Path) -> None:
    assert run(tmp_path, ExitCode.INTERRUPTED, good=2, again=False) == (1, 1)
    assert "run" not in json.loads(journal.journal_path(tmp_path).read_text().splitlines()[0])
