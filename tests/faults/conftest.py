"""A run folder and real servers, each as a place where models are promoted."""

from collections.abc import Iterator

import pytest

from services.mlflow_server import ADMIN
from umo.store import LEDGER, TRACKING, Store


@pytest.fixture(scope="module", params=["run folder", "servers"])
def environment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """SQLite files in a folder, or MLflow with accounts and the ledger on Postgres."""
    if request.param == "servers":
        variables = request.getfixturevalue("postgres_registry").environment(ADMIN)
    else:
        store = Store.local(tmp_path_factory.mktemp("run"))
        variables = {TRACKING: store.tracking, LEDGER: store.ledger}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield variables
