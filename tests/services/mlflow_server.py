"""A real MLflow server with basic-auth, and the people who use it."""

import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

from services.processes import daemon, free_ports

ADMIN = "admin"
PEOPLE = ("trainer", "reviewer", "promoter", "visitor")


@dataclass(frozen=True)
class Registry:
    """An MLflow, the ledger beside it, and what people are told."""

    uri: str
    ledger: str
    artifacts: str
    """Where the server keeps files."""
    log: Path
    passwords: dict[str, str] = field(repr=False)

    def environment(self, user: str) -> dict[str, str]:
        """The environment of one person's commands."""
        return {
            "MLFLOW_TRACKING_URI": self.uri,
            "MLFLOW_TRACKING_USERNAME": user,
            "MLFLOW_TRACKING_PASSWORD": self.passwords[user],
            "UMO_LEDGER": self.ledger,
        }


@contextmanager
def mlflow_server(
    folder: Path,
    *,
    store: str,
    users: str,
    ledger: str,
    artifacts: str,
    environment: Mapping[str, str],
) -> Iterator[Registry]:
    """Serve MLflow with an account for each of `PEOPLE`, who may read everything.

    Args:
        folder: Where its files go.
        store: Database URL of runs and models.
        users: Database URL of the accounts.
        ledger: Database URL of the ledger, which only clients use.
        artifacts: Where the server keeps files, a `s3://` URL or a folder.
        environment: What the server needs to reach `artifacts`.
    """
    port = free_ports(1)[0]
    passwords = {user: secrets.token_urlsafe(16) for user in (ADMIN, *PEOPLE)}
    settings = folder / "auth.ini"
    settings.write_text(
        "[mlflow]\n"
        "default_permission = READ\n"
        f"database_uri = {users}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        "auth_cache_ttl_seconds = 60\n"
    )
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"]
    log = folder / "mlflow.log"
    registry = Registry(f"http://127.0.0.1:{port}", ledger, artifacts, log, passwords)
    with daemon(
        [
            *[*command, "--workers", "1", "--host", "127.0.0.1", "--port", str(port)],
            *["--backend-store-uri", store, "--artifacts-destination", artifacts],
        ],
        log=log,
        ready=lambda: _healthy(registry.uri),
        env={
            **environment,
            "MLFLOW_AUTH_CONFIG_PATH": str(settings),
            "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN,
            "MLFLOW_AUTH_ADMIN_PASSWORD": passwords[ADMIN],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
    ):
        _create(registry)
        yield registry


def _create(registry: Registry) -> None:
    for user in PEOPLE:
        requests.post(
            f"{registry.uri}/api/2.0/mlflow/users/create",
            auth=(ADMIN, registry.passwords[ADMIN]),
            json={"username": user, "password": registry.passwords[user]},
            timeout=60,
        ).raise_for_status()


def _healthy(uri: str) -> bool:
    try:
        return requests.get(f"{uri}/health", timeout=5).ok
    except requests.RequestException:
        return False
