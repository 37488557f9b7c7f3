import os
import subprocess
import sys
from pathlib import Path

import pytest

from umo.errors import UmoError
from umo_serving.launch import launch

SECRET = "--key=spring-4711"


def finished(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"


def test_the_program_sees_what_the_process_list_does_not(output: Path) -> None:
    code = (
        "import subprocess, sys; print(sys.argv[1:]);"
        "print(subprocess.run(['ps', '-A', '-ww', '-o', 'args'],"
        " capture_output=True, text=True).stdout)"
    )
    with output.open("wb") as log:
        pid = launch(
            [sys.executable, "-c", code, "open"],
            [SECRET, "--second"],
            environment=dict(os.environ),
            log=log.fileno(),
        )
        assert finished(pid) == 0
    first, *processes = output.read_text().splitlines()
    assert first == str(["open", SECRET, "--second"])
    assert any("open --hidden --hidden" in line for line in processes)
    assert not any(SECRET in line for line in processes)


def test_only_the_owner_may_read_its_environment() -> None:
    pid = launch(["/bin/sleep", "60"], [], environment={}, log=1)
    try:
        assert Path(f"/proc/{pid}/environ").stat().st_mode & 0o077 == 0
    finally:
        os.kill(pid, 9)
        finished(pid)


def test_exit_codes_pass(output: Path) -> None:
    with output.open("wb") as log:
        assert finished(launch(["/bin/sh", "-c", "exit 7"], [], environment={}, log=1)) == 7
        assert finished(launch(["/bin/echo"], ["a", "b c"], environment={}, log=log.fileno())) == 0
    assert output.read_text() == "a b c\n"


def test_a_program_that_is_not_there_is_one_line() -> None:
    with pytest.raises(UmoError, match="could not be started"):
        launch(["/no/such/program"], [SECRET], environment={}, log=1)


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import sys; from umo_serving.launch import launch;"
        "print(launch(['/bin/sleep', '60'], [], environment={}, log=2), flush=True);"
        "sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    status = Path(f"/proc/{pid}/stat")
    while status.exists() and status.read_text().rpartition(")")[2].split()[0] not in "ZX":
        os.sched_yield()
