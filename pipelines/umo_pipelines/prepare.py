"""Make a fresh MLflow ready for the review: its bucket, its accounts and their rights.

A job of the chart runs it after every installation and upgrade; it does nothing twice.
`python -m umo_pipelines.prepare --model NAME --bucket NAME --accounts FOLDER [--reviewer USER]`:
below FOLDER lie `trainer`, `promoter` and `deployer`, each with files `username` and `password`.
MLflow, its admin and the ledger are those of the environment.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from umo import grants
from umo.errors import DeniedError, NotFoundError, UmoError, UsageError
from umo.registry import Registry
from umo.store import Store
from umo.tracking import call, mlflow_errors

ROLES = ("trainer", "promoter", "deployer")
GET, CREATE, CHANGE = (
    f"/api/2.0/mlflow/users/{verb}" for verb in ("get", "create", "update-password")
)
PATIENCE = 300.0
"""Seconds to wait for MLflow and the S3 to come up."""


def prepare(
    registry: Registry, *, model: str, bucket: str, accounts: Path, reviewers: Sequence[str]
) -> list[str]:
    """Bring everything up to date.

    Args:
        registry: An MLflow server with basic-auth, as its admin.
        model: Name of the model that is reviewed.
        bucket: Made if it is not there.
        accounts: Folder of the accounts.
        reviewers: Users who review.

    Returns:
        A line for each thing that was done.

    Raises:
        UmoError: MLflow or the S3 refuse.
    """
    done = [f"bucket {bucket} made"] if ensure_bucket(bucket) else []
    names = {}
    for role in ROLES:
        names[role] = (accounts / role / "username").read_text().strip()
        password = (accounts / role / "password").read_text().strip()
        done.append(f"account {names[role]}: {ensure_account(registry, names[role], password)}")
    planned = grants.plan(
        model,
        trainers=[names["trainer"]],
        reviewers=[names["deployer"], *reviewers],
        promoters=[names["promoter"]],
    )
    done += [
        f"{grant.user}: {grant.right} on {grant.thing}"
        for grant in grants.apply(registry, planned)
        if grant.changed
    ]
    return done


def ensure_account(registry: Registry, user: str, password: str) -> str:
    """Make an account, or give it the password that its secret has now; says which."""
    try:
        _call(registry, "GET", GET, params={"username": user})
    except NotFoundError:
        _call(registry, "POST", CREATE, json={"username": user, "password": password})
        return "made"
    _call(registry, "PATCH", CHANGE, json={"username": user, "password": password})
    return "there, with the password of its secret"


def _call(registry: Registry, method: str, endpoint: str, **arguments: Any) -> dict[str, Any]:
    with mlflow_errors("manage users"):
        return call(registry.store, method, endpoint, **arguments)


def has_bucket(bucket: str) -> bool:
    """Whether the S3 of the environment has a bucket.

    Raises:
        UmoError: The S3 refuses these keys, or cannot be reached.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        boto3.client("s3").head_bucket(Bucket=bucket)
        return True
    except ClientError as error:
        if error.response["Error"]["Code"] == "404":
            return False
        raise UmoError(f"the S3 refuses the bucket {bucket}: {error}") from error
    except BotoCoreError as error:
        raise UmoError(f"cannot reach the S3: {error}") from error


def ensure_bucket(bucket: str) -> bool:
    """Make a bucket unless it is there; tells whether it was made."""
    import boto3

    if has_bucket(bucket):
        return False
    boto3.client("s3").create_bucket(Bucket=bucket)
    return True


def main(arguments: Sequence[str]) -> int:
    """Prepare, and again while servers come up; returns the exit code."""
    parser = argparse.ArgumentParser(prog="umo_pipelines.prepare")
    parser.add_argument("--model", required=True)
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--accounts", type=Path, required=True)
    parser.add_argument("--reviewer", action="append", default=[])
    given = parser.parse_args(arguments)
    registry = Registry(Store.of_run(Path.cwd()))
    end = time.monotonic() + PATIENCE
    while True:
        try:
            for line in prepare(
                registry,
                model=given.model,
                bucket=given.bucket,
                accounts=given.accounts,
                reviewers=given.reviewer,
            ):
                print(line, flush=True)
            return os.EX_OK
        except UmoError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            if isinstance(error, DeniedError | UsageError) or time.monotonic() > end:
                return int(error.exit_code)
            time.sleep(5)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
