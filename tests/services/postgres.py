"""A Postgres of Debian on a free port, in a folder of its own."""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from services.processes import answers, daemon, free_ports

ACCOUNT = "nobody"
"""Postgres refuses to run as root."""


@dataclass(frozen=True)
class Postgres:
    port: int
    password: str

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://umo:{self.password}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """Make an empty database; returns its URL."""
        address = self.url("postgres").replace("+psycopg", "")
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        return self.url(database)


@contextmanager
def postgres() -> Iterator[Postgres]:
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="umo-postgres-"))
    try:
        server = Postgres(free_ports(1)[0], secrets.token_hex(8))
        (folder / "password").write_text(server.password)
        as_account = _as_account(folder)
        initialise = [str(programs / "initdb"), "-D", str(folder / "data"), "-U", "umo", "-N"]
        subprocess.run(
            [*as_account, *initialise, "-A", "scram-sha-256", f"--pwfile={folder / 'password'}"],
            check=True,
            capture_output=True,
        )
        with daemon(
            [
                *[*as_account, str(programs / "postgres"), "-D", str(folder / "data")],
                *["-h", "127.0.0.1", "-p", str(server.port), "-k", "", "-c", "fsync=off"],
            ],
            log=folder / "log",
            ready=lambda: _accepts(server),
        ):
            yield server
    finally:
        shutil.rmtree(folder)


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        pytest.skip("no Postgres in /usr/lib/postgresql: apt-get install postgresql")
    return found[-1].parent


def _as_account(folder: Path) -> list[str]:
    if os.geteuid() != 0:
        return []
    for path in (folder, *folder.iterdir()):
        shutil.chown(path, ACCOUNT)
    return ["setpriv", "--reuid", ACCOUNT, "--regid", "nogroup", "--clear-groups", "--"]


def _accepts(server: Postgres) -> bool:
    if not answers(server.port):
        return False
    try:
        psycopg.connect(server.url("postgres").replace("+psycopg", "")).close()
    except psycopg.OperationalError:
        return False
    return True
