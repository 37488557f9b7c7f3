"""The servers of the tests do what the tests rely on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from services.mlflow_server import Registry
from services.processes import GUARD


def test_people_are_known_and_files_are_kept(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in registry.environment("trainer").items():
        monkeypatch.setenv(name, value)
    client = MlflowClient(registry.uri)
    run = client.create_run(client.create_experiment("services"))
    (tmp_path / "file").write_text("content")
    client.log_artifact(run.info.run_id, str(tmp_path / "file"))
    kept = mlflow.artifacts.download_artifacts(
        run_id=run.info.run_id, artifact_path="file", dst_path=str(tmp_path / "back")
    )
    assert Path(kept).read_text() == "content"

    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
    with pytest.raises(MlflowException, match="401"):
        client.create_run(run.info.experiment_id)


def test_a_server_ends_when_the_tests_are_killed(tmp_path: Path) -> None:
    child = "import os, pathlib, time; pathlib.Path('pid').write_text(str(os.getpid()))"
    holder = (
        "import subprocess, sys, time\n"
        f"command = [sys.executable, {str(GUARD)!r}, sys.executable, '-c', {child!r}"
        " + '; time.sleep(600)']\n"
        "subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)\n"
        "time.sleep(600)"
    )
    tests = subprocess.Popen([sys.executable, "-c", holder], cwd=tmp_path)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.05)
    tests.send_signal(signal.SIGKILL)
    tests.wait()

    server = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and Path(f"/proc/{server}").exists():
        time.sleep(0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)
