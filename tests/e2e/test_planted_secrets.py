"""No secret of the environment is in a log, a file of a run, MLflow, the ledger or S3.

A candidate is registered and handed in by kfp's local runner, against a real MLflow with accounts,
Postgres and S3; then the same with servers that are away and secrets that are wrong.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.mlflow_server import ADMIN, Registry
from services.postgres import Postgres, _programs
from services.processes import free_ports
from services.s3 import S3
from services.small_run import write_run
from umo.errors import ExitCode

pytestmark = pytest.mark.slow

NAME = "planted"
WRONG = ("planted-password", "planted-key")
STEP = "import sys; from umo.steps.entry import register; register(*sys.argv[1:])"
COMMAND = "from umo_cli.main import main; main()"
QUICK = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "AWS_MAX_ATTEMPTS": "1", "COLUMNS": "400"}


@dataclass(frozen=True)
class Office:
    """A run folder, servers, and what must not be found anywhere."""

    out: Path
    environment: dict[str, str]
    """Of a trainer, with every secret that umo reads."""
    secrets: dict[str, str]
    policy: Path

    def run(self, program: str, *arguments: str, **changes: str) -> tuple[int, str]:
        """Exit code and all that a process said; it gave no secret away."""
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env={**self.environment, **changes},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.none_in(done.stdout)
        return done.returncode, done.stdout.decode()

    def step(self, **changes: str) -> tuple[int, str]:
        """The step `register` as a pod runs it."""
        from umo.files import read_manifest

        digests = [read_manifest(self.out / part)["digest"] for part in ("train", "evaluation")]
        return self.run(STEP, str(self.out), NAME, *digests, **changes)

    def release(self, **changes: str) -> tuple[int, str]:
        """The promotion pipeline by kfp's local runner, which waits for nobody."""
        arguments = ["models", "release", NAME, "1", "--hours", "0", "--out", str(self.out)]
        return self.run(COMMAND, *arguments, "--policy", str(self.policy), **changes)

    def none_in(self, text: bytes) -> None:
        """No secret is there, nor a wrong one."""
        for secret in (*self.secrets.values(), *WRONG):
            assert secret.encode() not in text, f"{secret} in {text.decode(errors='replace')}"

    def none_below(self, folder: Path) -> None:
        """No secret is in a file."""
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert files
        for path in files:
            self.none_in(path.read_bytes())


@pytest.fixture
def office(
    postgres_registry: Registry, postgres_server: Postgres, s3: S3, tmp_path: Path
) -> Office:
    key = tmp_path / "keys" / "signing.pem"
    key.parent.mkdir()
    subprocess.run([sys.executable, "-c", COMMAND, "models", "keygen", str(key)], check=True)
    pem = key.read_text()
    secrets = {
        "MLFLOW_TRACKING_PASSWORD": postgres_registry.passwords["trainer"],
        "UMO_LEDGER": postgres_server.password,
        "AWS_SECRET_ACCESS_KEY": s3.secret,
        "UMO_SIGNING_PEM": pem.splitlines()[1],
        "UMO_PIPELINES_TOKEN": "planted-token",
    }
    environment = {
        **os.environ,
        **s3.environment,
        **postgres_registry.environment("trainer"),
        **QUICK,
        "UMO_SIGNING_KEY": "env:UMO_SIGNING_PEM",
        "UMO_SIGNING_PEM": pem,
        "UMO_PIPELINES_TOKEN": secrets["UMO_PIPELINES_TOKEN"],
    }
    for name, secret in secrets.items():
        assert secret in environment[name]
    policy = tmp_path / "policy.yaml"
    policy.write_text("items: 8\n")
    office = Office(
        out=write_run(tmp_path / "run").folder,
        environment=environment,
        secrets={**secrets, "admin": postgres_registry.passwords[ADMIN]},
        policy=policy,
    )
    roles = [f"--{role}={role}" for role in ("trainer", "reviewer", "promoter")]
    admin = postgres_registry.environment(ADMIN)
    assert office.run(COMMAND, "models", "grants", NAME, *roles, **admin)[0] == ExitCode.OK
    return office


def dumped(url: str) -> bytes:
    """Every row of a database, as text."""
    program = str(_programs() / "pg_dump")
    plain = url.replace("+psycopg", "")
    done = subprocess.run([program, "--inserts", plain], check=True, capture_output=True)
    assert b"INSERT INTO" in done.stdout
    return done.stdout


def objects(s3: S3, url: str) -> Iterator[tuple[str, bytes]]:
    """Every object of a bucket."""
    bucket = url.removeprefix("s3://")
    for page in s3.client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for entry in page.get("Contents", []):
            body = s3.client.get_object(Bucket=bucket, Key=entry["Key"])["Body"]
            yield entry["Key"], body.read()


def test_a_run_keeps_its_secrets(
    office: Office, postgres_registry: Registry, postgres_server: Postgres, s3: S3
) -> None:
    code, said = office.step()
    assert code == ExitCode.OK, said
    code, said = office.release()
    assert code == ExitCode.INTERRUPTED, said
    assert "nobody decided on planted 1" in said
    assert "submit: finished" in said or "submit: done" in said
    office.none_below(office.out)
    assert (office.out / "logs/pipeline.log").stat().st_size
    office.none_in(postgres_registry.log.read_bytes())
    for database in ("mlflow", "users", "ledger"):
        office.none_in(dumped(postgres_server.url(database)))
    stored = dict(objects(s3, postgres_registry.artifacts))
    assert any(key.endswith("manifest.sig.json") for key in stored)
    for key, content in stored.items():
        office.none_in(key.encode() + content)


def test_failures_keep_them_too(office: Office) -> None:
    """Servers that are away, passwords that are wrong, a key that is given itself."""
    assert office.step()[0] == ExitCode.OK
    (closed,) = free_ports(1)
    away = f"127.0.0.1:{closed}"
    user, ledger = "umo:planted-password", office.environment["UMO_LEDGER"]
    tried = (
        ({"MLFLOW_TRACKING_URI": f"http://{away}"}, "cannot"),
        ({"MLFLOW_TRACKING_URI": f"http://{user}@{away}"}, "cannot"),
        ({"MLFLOW_TRACKING_PASSWORD": "planted-password"}, "does not know you"),
        ({"UMO_LEDGER": f"postgresql+psycopg://{user}@{away}/ledger"}, "the ledger"),
        ({"UMO_LEDGER": ledger.replace(office.secrets["UMO_LEDGER"], WRONG[0])}, "the ledger"),
        ({"UMO_LEDGER": f"{user}@{away}/ledger"}, "is not a URL"),
        ({"UMO_LEDGER": f"mysql://{user}@{away}/ledger"}, "the ledger cannot be"),
        ({"UMO_SIGNING_KEY": "planted-key"}, "named by reference"),
        ({"UMO_SIGNING_PEM": "planted-key"}, "is no ed25519 private key"),
    )
    for changes, message in tried:
        run = office.release if "UMO_SIGNING" in next(iter(changes)) else office.step
        code, said = run(**changes)
        assert code not in (ExitCode.OK, -9), changes
        assert message in said, (changes, said)
    office.none_below(office.out)


def test_checkpoints_on_s3_keep_them(office: Office) -> None:
    """A store of checkpoints that is away, or whose key is wrong."""
    program = "from umo.training.places import place_of; place_of('s3://nowhere/run').names()"
    (closed,) = free_ports(1)
    for changes in (
        {"MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{closed}"},
        {"AWS_SECRET_ACCESS_KEY": "planted-key"},
    ):
        code, said = office.run(program, **changes)
        assert code
        assert "s3://nowhere/run" in said
