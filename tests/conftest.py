"""Slow tests by turns, and servers that several tests share.

A server starts once, when a test first asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from services.mlflow_server import Registry
    from services.postgres import Postgres
    from services.s3 import S3
    from services.triton import Triton


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--turn",
        default="1/1",
        metavar="K/N",
        help="of the tests marked slow only every Nth from the Kth on; all without this option",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    turn, turns = map(int, config.getoption("--turn").split("/"))
    if not 1 <= turn <= turns:
        raise pytest.UsageError(f"--turn {turn}/{turns}: K is one of 1 to N")
    slow = sorted({function(item) for item in items if item.get_closest_marker("slow")})
    later = set(slow) - set(slow[turn - 1 :: turns])
    config.hook.pytest_deselected(items=[item for item in items if function(item) in later])
    items[:] = [item for item in items if function(item) not in later]
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def function(item: pytest.Item) -> str:
    """The test without its parameters: those stay together."""
    return item.nodeid.partition("[")[0]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    from services.postgres import postgres

    with postgres() as server:
        yield server


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    from services.s3 import seaweed

    with seaweed(tmp_path_factory.mktemp("s3")) as store:
        yield store


@pytest.fixture(scope="session")
def sqlite_registry(s3: S3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """MLflow and ledger on SQLite, files in S3."""
    from services.mlflow_server import mlflow_server

    folder = tmp_path_factory.mktemp("sqlite-registry")
    with mlflow_server(
        folder,
        store=f"sqlite:///{folder / 'mlflow.db'}",
        users=f"sqlite:///{folder / 'users.db'}",
        ledger=f"sqlite:///{folder / 'ledger.db'}",
        artifacts=s3.create("sqlite-artifacts"),
        environment=s3.environment,
    ) as registry:
        yield registry


@pytest.fixture(scope="session")
def postgres_registry(
    s3: S3, postgres_server: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    """MLflow, its accounts and the ledger on Postgres, files in S3."""
    from services.mlflow_server import mlflow_server

    with mlflow_server(
        tmp_path_factory.mktemp("postgres-registry"),
        store=postgres_server.create("mlflow"),
        users=postgres_server.create("users"),
        ledger=postgres_server.create("ledger"),
        artifacts=s3.create("postgres-artifacts"),
        environment=s3.environment,
    ) as registry:
        yield registry


@pytest.fixture(params=["sqlite", "postgres"], scope="session")
def registry(request: pytest.FixtureRequest) -> Registry:
    """A registry on each database."""
    found: Registry = request.getfixturevalue(f"{request.param}_registry")
    return found


@pytest.fixture(scope="session")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    """A server of the shipped reference model; tests leave it as they found it."""
    from services.triton import triton

    with triton(tmp_path_factory.mktemp("serving")) as server:
        yield server
