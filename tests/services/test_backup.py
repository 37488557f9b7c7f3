"""Backup, restore and preparation on a real Postgres, MLflow and S3."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.helm_chart import ROOT, rendered
from services.mlflow_server import ADMIN, Registry
from services.postgres import Postgres, _programs
from services.s3 import S3
from umo import registry as registries
from umo.errors import DiffersError, NotFoundError, UsageError
from umo.ledger import Ledger
from umo.store import Store
from umo_pipelines import backup, prepare

NOW = datetime(2026, 11, 22, 1, 23, tzinfo=UTC)


def pg(program: str, *arguments: str) -> None:
    subprocess.run([str(_programs() / program), *arguments], check=True, capture_output=True)


def plain(url: str) -> str:
    """A URL as libpq reads it."""
    return url.replace("+psycopg", "")


def test_nothing_is_lost(
    postgres_registry: Registry, postgres_server: Postgres, s3: S3, tmp_path: Path
) -> None:
    ledger_url = postgres_server.create("ledger_to_save")
    ledger = Ledger(ledger_url)
    for version in range(1, 6):
        ledger.append("registered", actor="änna", model="people", version=version, weights="w")
    bucket = s3.create("copies").removeprefix("s3://")
    databases = {
        "mlflow": postgres_server.url("mlflow"),
        "accounts": postgres_server.url("users"),
        "ledger": ledger_url,
    }
    assert any("trainer" in row for row in rows(databases["accounts"])["users"])
    (tmp_path / "out").mkdir()
    for name, url in databases.items():
        file = tmp_path / "out" / f"{name}.dump"
        pg("pg_dump", "--format=custom", f"--file={file}", plain(url))
    old = backup.store(tmp_path / "out", s3.client, bucket, now=NOW - timedelta(days=40), days=30)
    name = backup.store(tmp_path / "out", s3.client, bucket, now=NOW, days=30)
    assert list(backup.copies(s3.client, bucket)) == [name] != [old]
    assert backup.fetch(tmp_path / "in", s3.client, bucket) == name
    for database, url in databases.items():
        fresh = postgres_server.create(f"{database}_restored")
        file = tmp_path / "in" / f"{database}.dump"
        pg("pg_restore", "--exit-on-error", "--no-owner", "--dbname", plain(fresh), str(file))
        assert rows(fresh) == rows(url)
    restored = Ledger(fresh)
    assert restored.verify() == []
    assert restored.events() == ledger.events()
    with sa.create_engine(fresh).begin() as connection, pytest.raises(sa.exc.DBAPIError):
        connection.execute(sa.text("UPDATE events SET actor = 'ben'"))
    added = restored.append("approved", actor="ben", model="people", version=1, weights="w")
    assert added.seq == 6
    assert restored.verify() == []


def rows(url: str) -> dict[str, list[str]]:
    """The rows of each table, in words."""
    with sa.create_engine(url).begin() as connection:
        names = sa.inspect(connection).get_table_names()
        return {
            name: sorted(map(str, connection.execute(sa.text(f'SELECT * FROM "{name}"'))))
            for name in names
        }


def test_the_chart_saves_every_database() -> None:
    """One dump for each database that the secrets name, of that database; the ledger is last."""
    (job,) = [
        one
        for one in rendered("minimal")
        if one["kind"] == "CronJob" and one["metadata"]["name"].endswith("-backup")
    ]
    dumps = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["initContainers"]
    asked = [
        (dump["name"], *dump["env"][0]["valueFrom"]["secretKeyRef"].values()) for dump in dumps
    ]
    assert asked == [
        ("mlflow", "umo-mlflow", "backend-store-uri"),
        ("accounts", "umo-mlflow", "auth-database-uri"),
        ("ledger", "umo-ledger", "UMO_LEDGER"),
    ]
    operations = (ROOT / "docs" / "operations.md").read_text()
    for name, *_ in asked:
        assert f"restored/{name}.dump" in operations


def test_a_damaged_copy_is_refused(s3: S3, tmp_path: Path) -> None:
    bucket = s3.create("damaged").removeprefix("s3://")
    with pytest.raises(NotFoundError, match="no copy at all"):
        backup.fetch(tmp_path / "in", s3.client, bucket)
    with pytest.raises(UsageError, match="did pg_dump run"):
        backup.store(tmp_path, s3.client, bucket, now=NOW, days=1)
    (tmp_path / "ledger.dump").write_bytes(b"PGDMP" * 9)
    name = backup.store(tmp_path, s3.client, bucket, now=NOW, days=1)
    s3.flip(f"s3://{bucket}/{backup.PREFIX}{name}/ledger.dump")
    with pytest.raises(DiffersError):
        backup.fetch(tmp_path / "in", s3.client, bucket)


def test_preparing_twice(
    postgres_registry: Registry, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = postgres_registry.environment(ADMIN)
    for name, value in {**environment, **s3.environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint)
    for role in prepare.ROLES:
        (tmp_path / role).mkdir()
        (tmp_path / role / "username").write_text(f"the-{role}")
        (tmp_path / role / "password").write_text("a-long-password-1")
    mlflow = registries.Registry(Store.of_run(tmp_path))

    def once() -> list[str]:
        return prepare.prepare(
            mlflow, model="prepared", bucket="prepared", accounts=tmp_path, reviewers=["reviewer"]
        )

    first = once()
    assert "bucket prepared made" in first
    assert "account the-trainer: made" in first
    assert "the-trainer: EDIT on prepared-candidates" in first
    assert "the-promoter: MANAGE on prepared" in first
    assert not [line for line in first if "the-deployer" in line and "READ" not in line][1:]
    (tmp_path / "trainer" / "password").write_text("another-password-2")
    assert len(once()) == len(prepare.ROLES)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "the-trainer")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "another-password-2")
    from umo.tracking import account

    assert account(mlflow.store) == "the-trainer"
