"""A run is followed in MLflow; whatever MLflow does, the run goes on."""

import logging
import time
from pathlib import Path
from typing import Any

import pytest

from services.processes import free_ports
from umo.errors import ExitCode, UmoError
from umo.live import Live, followed
from umo.store import LEDGER, TRACKING, Store
from umo.tracking import Run, connect


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.local(tmp_path_factory.mktemp("run"))


def line(step: int) -> dict[str, Any]:
    return {"phase": "train", "done": step, "total": 9, "step": step, "reward": step / 10}


def run_of(store: Store, identity: str) -> Run:
    return Run.open(store, name="", identity=identity)


def curve(run: Run) -> list[tuple[int, float]]:
    history = run.client.get_metric_history(run.id, "curve.reward")
    return [(point.step, point.value) for point in history]


def test_lines_and_pictures_arrive_and_a_resumed_run_goes_on(store: Store, tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples/step-1.jpg").write_bytes(b"picture")
    given = {"identity": "resumed", "folder": tmp_path, "parameters": {"config": {"lr": 0.1}}}

    def interrupted() -> None:
        with followed(store, **given) as live:
            assert live
            live({"phase": "encode", "done": 1, "total": 7})
            live(line(1))
            live({"phase": "train", "done": 1, "total": 9, "picture": "samples/step-1.jpg"})
            raise UmoError("asked to end", exit_code=ExitCode.INTERRUPTED)

    with pytest.raises(UmoError, match="asked to end"):
        interrupted()
    run = run_of(store, "resumed")
    found = run.client.get_run(run.id)
    assert found.info.status == "KILLED"
    assert found.info.run_name == "training resumed"
    assert found.data.params == {"config.lr": "0.1"}
    assert found.data.metrics == {"curve.reward": 0.1}
    assert [file.path for file in run.client.list_artifacts(run.id, "samples")] == [
        "samples/step-1.jpg"
    ]
    with followed(store, **given) as live:
        assert live
        live(line(1))
        live(line(2))
    assert curve(run) == [(1, 0.1), (2, 0.2)]
    assert run.finished


def test_an_error_ends_it_as_failed(store: Store, tmp_path: Path) -> None:
    given = {"identity": "failed", "folder": tmp_path, "parameters": {}}
    with pytest.raises(ZeroDivisionError), followed(store, **given):
        _ = 1 / 0
    run = run_of(store, "failed")
    assert run.client.get_run(run.id).info.status == "FAILED"


def test_nobody_follows(tmp_path: Path) -> None:
    with followed(None, identity="none", folder=tmp_path, parameters={}) as live:
        assert live is None


def test_a_server_that_is_away_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (port,) = free_ports(1)
    away = Store(tracking=f"http://anna:secret@127.0.0.1:{port}", ledger="")
    with (
        caplog.at_level(logging.WARNING),
        followed(away, identity="away", folder=tmp_path, parameters={}) as live,
    ):
        assert live
        for step in range(3):
            live(line(step))
    first, last = [record.getMessage() for record in caplog.records if record.name == "umo.live"]
    assert first.startswith("training goes on without MLflow: cannot write to the experiment")
    assert last == f"MLflow has not got the last 4 reports; {tmp_path} has"
    assert "secret" not in caplog.text


def test_what_was_not_sent_is_sent_when_mlflow_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    there = tmp_path / "store"
    there.touch()
    store = Store.local(there)
    live = Live(store, identity="back", folder=tmp_path, parameters={})
    live(line(1))
    while "training goes on without MLflow" not in caplog.text:
        time.sleep(0.01)
    there.unlink()
    live(line(2))
    live.close("FINISHED")
    assert curve(run_of(store, "back")) == [(1, 0.1), (2, 0.2)]
    assert connect(store).search_experiments()


def test_the_environment_says_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(TRACKING, raising=False)
    monkeypatch.delenv(LEDGER, raising=False)
    assert Store.followed() is None
    monkeypatch.setenv(TRACKING, "http://127.0.0.1:9")
    assert Store.followed() == Store(tracking="http://127.0.0.1:9", ledger="")
