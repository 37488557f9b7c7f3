"""What a supervisor takes for the process of a model."""

import subprocess
from pathlib import Path

import psutil
import pytest

from umo_serving.supervisor import model_of

PROGRAM = "/srv/repository/umo_v7/1/model.py"


@pytest.mark.parametrize(
    ("command", "model"),
    [
        (["/triton/backends/python/triton_python_backend_stub", PROGRAM, "umo_1_"], "umo_v7"),
        (["bash", "-c", f"exec stub {PROGRAM}"], ""),
        (["tritonserver", "--model-repository=/srv/repository"], ""),
        (["stub", "model.py"], ""),
        (["tritonserver"], ""),
        ([], ""),
    ],
)
def test_only_a_model_is_one(command: list[str], model: str) -> None:
    assert model_of(command) == model


def test_a_shell_on_its_way_to_a_model_is_none_yet(tmp_path: Path) -> None:
    program = tmp_path / "umo_v7" / "1" / "model.py"
    with subprocess.Popen(["bash", "-c", f"read line; exec tail -f {program}"], stdin=-1) as shell:
        assert shell.stdin
        assert model_of(psutil.Process(shell.pid).cmdline()) == ""
        shell.kill()
