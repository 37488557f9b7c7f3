import json
from pathlib import Path

import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INTERNAL_ERROR,
    PERMISSION_DENIED,
    RESOURCE_DOES_NOT_EXIST,
    UNAUTHENTICATED,
)

from umo.errors import DeniedError, NotFoundError, UmoError
from umo.store import Store
from umo.tracking import Run, account, actor, mlflow_errors


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.local(tmp_path_factory.mktemp("run"))


def test_run_is_resumed_by_identity(store: Store) -> None:
    first = Run.open(store, name="tuned", identity="one")
    assert Run.open(store, name="tuned", identity="one").id == first.id
    assert Run.open(store, name="tuned", identity="two").id != first.id
    assert Run.open(store, name="tuned", identity="one", experiment="other").id != first.id
    assert store.file
    assert store.file.is_file()


def test_logging_twice_changes_nothing(store: Store, tmp_path: Path) -> None:
    records = [{"step": i, "reward": i / 10, "note": "text"} for i in range(3)]
    curve = tmp_path / "metrics.jsonl"
    curve.write_text("\n".join(map(json.dumps, records)))
    run = Run.open(store, name="tuned", identity="curves")
    for _ in range(2):
        run.parameters({"seed": 3, "train": {"rank": 8}})
        run.scores({"tuned": {"id_sim": 41.5}, "label": "x"})
        run.curves(curve)
        run.file(curve, "logs")
    run.finish()

    data = run.client.get_run(run.id).data
    assert data.params == {"seed": "3", "train.rank": "8"}
    assert data.metrics["tuned.id_sim"] == 41.5
    points = run.client.get_metric_history(run.id, "curve.reward")
    assert [(p.step, p.value) for p in points] == [(0, 0.0), (1, 0.1), (2, 0.2)]
    assert store.file
    artifacts = store.file.parent / "artifacts" / run.id / "artifacts"
    assert (artifacts / "logs/metrics.jsonl").is_file()


def test_actor_is_on_trust_where_mlflow_has_no_accounts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert account(store) is None
    monkeypatch.setenv("UMO_ACTOR", "anna")
    assert actor(store) == "anna"
    monkeypatch.delenv("UMO_ACTOR")
    monkeypatch.setenv("LOGNAME", "ben")
    assert actor(store) == "ben"


@pytest.mark.parametrize(
    ("code", "kind", "line"),
    [
        (UNAUTHENTICATED, DeniedError, "MLflow does not know you (look); set MLFLOW_TRACKING_U"),
        (PERMISSION_DENIED, DeniedError, "MLflow does not let you look; ask its admin"),
        (RESOURCE_DOES_NOT_EXIST, NotFoundError, "cannot look: two lines"),
        (INTERNAL_ERROR, UmoError, "cannot look: two lines"),
    ],
)
def test_what_mlflow_raises_becomes_one_line(code: int, kind: type[UmoError], line: str) -> None:
    with pytest.raises(kind) as caught, mlflow_errors("look"):
        raise MlflowException("two\nlines", error_code=code)
    assert type(caught.value) is kind
    assert str(caught.value).startswith(line)


def test_a_refused_upload_is_denied() -> None:
    reply = requests.Response()
    reply.status_code = requests.codes.forbidden
    with pytest.raises(DeniedError, match="does not let you write"), mlflow_errors("write"):
        reply.raise_for_status()
