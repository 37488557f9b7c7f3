from pathlib import Path

import pytest

from umo.errors import NotFoundError, UsageError
from umo.store import LEDGER, TRACKING, Store


@pytest.fixture(autouse=True)
def no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (TRACKING, LEDGER):
        monkeypatch.delenv(variable, raising=False)


def test_a_run_folder_keeps_both(tmp_path: Path) -> None:
    store = Store.of_run(tmp_path)
    assert store == Store.local(tmp_path)
    assert store.file == tmp_path / "mlflow.db"
    assert store.ledger == f"sqlite:///{tmp_path}/ledger.db"


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRACKING, f"sqlite:///{tmp_path}/shared/store.db")
    assert Store.of_run(tmp_path).ledger == f"sqlite:///{tmp_path}/shared/ledger.db"
    monkeypatch.setenv(TRACKING, "https://anna:secret@mlflow.example/team/")
    with pytest.raises(UsageError, match="UMO_LEDGER is not set"):
        Store.of_run(tmp_path)
    monkeypatch.setenv(LEDGER, "postgresql://ledger.example/umo")
    store = Store.of_run(tmp_path)
    assert (store.file, store.ledger) == (None, "postgresql://ledger.example/umo")
    assert store.shown == "https://mlflow.example/team/"
    assert Store.existing(None, default=tmp_path) == store


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no MLflow store at .*mlflow\.db; run `umo run`"):
        Store.existing(tmp_path, default=tmp_path / "default")
    (tmp_path / "mlflow.db").touch()
    assert Store.existing(tmp_path, default=tmp_path / "default") == Store.local(tmp_path)
    with pytest.raises(NotFoundError, match="default/mlflow"):
        Store.existing(None, default=tmp_path / "default")
