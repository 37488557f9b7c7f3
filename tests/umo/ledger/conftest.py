"""A new ledger on SQLite and one on Postgres."""

import secrets
from pathlib import Path

import pytest

from services.postgres import Postgres


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    server: Postgres = request.getfixturevalue("postgres_server")
    return server.create(f"ledger_{secrets.token_hex(4)}")
