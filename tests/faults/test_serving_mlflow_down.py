"""MLflow is gone for a while: the server goes on, and the deployer comes back by itself."""

import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from services.candidates import PROMOTER
from services.deployments import NAME, answering, candidate, follower
from services.processes import answers, daemon, free_ports
from services.triton import empty_server
from umo.ledger import Ledger
from umo.promotion import promote
from umo.registry import Registry
from umo.store import Store
from umo_serving.deployer import Deployer, Policy

DOWN_SECONDS = 60.0


def mlflow(folder: Path, port: int) -> AbstractContextManager[None]:
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    return daemon(
        [
            *[*command, "--host", "127.0.0.1", "--port", str(port)],
            *["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"],
            *["--artifacts-destination", str(folder / "artifacts")],
        ],
        log=folder / "mlflow.log",
        ready=lambda: answers(port),
        env={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
    )


@pytest.mark.slow
def test_the_old_version_answers_until_mlflow_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (port,) = free_ports(1)
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    store = Store(tracking=f"http://127.0.0.1:{port}", ledger=f"sqlite:///{tmp_path / 'ledger.db'}")
    said: list[str] = []
    with empty_server(tmp_path / "serving") as server:
        with mlflow(tmp_path, port):
            registry = Registry(store)
            first, second = (candidate(registry, ledger, s, tmp_path) for s in (1.0, 0.98))
            promote(registry, ledger, NAME, first, actor=PROMOTER)
            old = ledger.reign(NAME).weights
            policy = Policy(steps=8)
            deployer = Deployer(
                server.folder, registry, ledger, NAME, policy=policy, say=said.append
            )
            deployer.once()
        with follower(deployer):
            gone = time.monotonic()
            while time.monotonic() - gone < DOWN_SECONDS:
                assert answering(server) == old
                time.sleep(0.5)
            assert [line for line in said if "cannot read the versions of people" in line]
            with mlflow(tmp_path, port):
                back = time.monotonic()
                promote(registry, ledger, NAME, second, actor=PROMOTER)
                new = ledger.reign(NAME).weights
                while answering(server) != new:
                    time.sleep(0.2)
                took = time.monotonic() - back
    assert [event.weights for event in ledger.events(NAME, kind="deployed")] == [old, new]
    with capsys.disabled():
        print(f"\nthe new version answered {took:.1f} s after MLflow was back")
