"""Tracking: parameters, curves, pictures and reports of a run, in MLflow."""

import getpass
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# By MLflow's server only: left alone, clients open the S3 behind it, which few of them can reach.
os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")
os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "false")

import requests
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request, verify_rest_response
from sqlalchemy.exc import SQLAlchemyError

from umo.errors import DeniedError, NotFoundError, UmoError
from umo.files import atomic_path, exclusive
from umo.store import Store

EXPERIMENT = "umo"
IDENTITY_TAG = "umo.identity"
BATCH = 1000
"""Metrics that MLflow takes in one call."""
CURRENT_USER = "/api/2.0/mlflow/users/current"
EXISTS = ErrorCode.Name(RESOURCE_ALREADY_EXISTS)

for _noisy in ("alembic", "mlflow.store.db.utils"):
    logging.getLogger(_noisy).setLevel(logging.WARNING)


def connect(store: Store) -> MlflowClient:
    """A client of the store's MLflow.

    Raises:
        UmoError: A new SQLite file cannot be written.
    """
    if store.file:
        _ensure_file(store.file)
    return MlflowClient(tracking_uri=store.tracking, registry_uri=store.tracking)


def _ensure_file(file: Path) -> None:
    """Make a SQLite store whole or not at all: a migration that is broken off cannot go on."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists():
        return
    with exclusive(file.with_name(f".{file.name}.lock"), None):
        if file.exists():
            return
        with atomic_path(file) as staged:
            try:
                MlflowClient(tracking_uri=f"sqlite:///{staged}").search_experiments(max_results=1)
            except SQLAlchemyError as error:
                raise OSError(" ".join(str(error.args[0]).split())) from error


def ensure_experiment(client: MlflowClient, store: Store, name: str) -> str:
    """Id of an experiment, made if it is not there; files of a SQLite store lie beside it."""
    known = client.get_experiment_by_name(name)
    if known:
        return str(known.experiment_id)
    location = (store.file.parent / "artifacts").as_uri() if store.file else None
    try:
        return str(client.create_experiment(name, artifact_location=location))
    except MlflowException as error:
        if error.error_code != EXISTS:
            raise
        return ensure_experiment(client, store, name)


def actor(store: Store) -> str:
    """Who acts: the user whom MLflow authenticates; without accounts there, on trust.

    A server with basic-auth is asked, so that nobody acts under another name. Without one it is
    `UMO_ACTOR`, else the user of the operating system.

    Raises:
        DeniedError: MLflow does not know these credentials.
        UmoError: It cannot be reached.
    """
    return account(store) or os.environ.get("UMO_ACTOR") or getpass.getuser()


def account(store: Store) -> str | None:
    """The user whom an MLflow server authenticates; None where MLflow has no accounts.

    Raises:
        DeniedError: It does not know these credentials.
        UmoError: It cannot be reached.
    """
    if not store.tracking.startswith("http"):
        return None
    try:
        with mlflow_errors("ask who you are"):
            return str(call(store, "GET", CURRENT_USER)["user"]["username"])
    except NotFoundError:
        return None


def call(store: Store, method: str, endpoint: str, **arguments: Any) -> dict[str, Any]:
    """What an endpoint of an MLflow server answers to the credentials of the environment.

    Raises:
        MlflowException: It refuses or cannot be reached.
    """
    reply = http_request(get_default_host_creds(store.tracking), endpoint, method, **arguments)
    answer: dict[str, Any] = verify_rest_response(reply, endpoint).json()
    return answer


@contextmanager
def mlflow_errors(doing: str) -> Iterator[None]:
    """Turn what MLflow raises in the body into one line that says what was tried.

    Raises:
        DeniedError: MLflow refused these credentials, or this user.
        NotFoundError: It does not know the run, model or version.
        UmoError: It failed or could not be reached.
    """
    try:
        yield
    except MlflowException as error:
        raise _explained(doing, str(error.error_code), str(error)) from error
    except requests.RequestException as error:
        status = error.response.status_code if error.response is not None else 0
        code = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "RESOURCE_DOES_NOT_EXIST"}
        raise _explained(doing, code.get(status, ""), str(error)) from error


def _explained(doing: str, code: str, text: str) -> UmoError:
    text = " ".join(text.split())
    match code:
        case "UNAUTHENTICATED":
            return DeniedError(
                f"MLflow does not know you ({doing})",
                hint="set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
            )
        case "PERMISSION_DENIED":
            return DeniedError(
                f"MLflow does not let you {doing}", hint="ask its admin; see `umo models grants`"
            )
        case "RESOURCE_DOES_NOT_EXIST" | "ENDPOINT_NOT_FOUND" | "NOT_FOUND":
            return NotFoundError(f"cannot {doing}: {text}")
        case _:
            return UmoError(f"cannot {doing}: {text}")


class Run:
    """One MLflow run, found again by the identity of what it records.

    Logging the same values twice changes nothing, so an interrupted run is simply logged again.
    """

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.client = client
        self.id = run_id
        info = client.get_run(run_id).info
        self.artifact_uri: str = info.artifact_uri
        self._start: int = info.start_time

    @classmethod
    def open(cls, store: Store, *, name: str, identity: str, experiment: str = EXPERIMENT) -> "Run":
        """Start the run of `identity` in `store`, or resume it.

        Args:
            store: Of a SQLite store, the files go to `artifacts/` beside it.
            name: What a person reads in the list of runs.
            identity: Result name of `umo.lineage`.
            experiment: MLflow experiment.

        Raises:
            DeniedError: MLflow does not let this user.
        """
        client = connect(store)
        with mlflow_errors(f"write to the experiment {experiment!r}"):
            group = ensure_experiment(client, store, experiment)
            known = client.search_runs([group], f"tags.`{IDENTITY_TAG}` = '{identity}'")
            if known:
                return cls(client, known[0].info.run_id)
            created = client.create_run(group, run_name=name, tags={IDENTITY_TAG: identity})
            return cls(client, created.info.run_id)

    def parameters(self, values: Mapping[str, Any]) -> None:
        """Log nested settings, flattened with dots: `train.rank`."""
        flat = [Param(key, str(value)) for key, value in _flatten(values).items()]
        with mlflow_errors("log parameters"):
            self.client.log_batch(self.id, params=flat)

    def scores(self, values: Mapping[str, Any]) -> None:
        """Log the numbers of a nested mapping as metrics, flattened with dots."""
        numbers = {key: value for key, value in _flatten(values).items() if _is_number(value)}
        metrics = [Metric(key, float(value), self._start, 0) for key, value in numbers.items()]
        self.client.log_batch(self.id, metrics=metrics)

    def curves(self, path: Path) -> None:
        """Log a `metrics.jsonl`: one record a line, each with its `step`."""
        self.points([json.loads(line) for line in path.read_text().splitlines()])

    def points(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Log the numbers of records, each with its `step`, as points of curves.

        Raises:
            UmoError: MLflow refused, failed or could not be reached.
        """
        metrics = [
            Metric(f"curve.{key}", float(value), self._start, int(record["step"]))
            for record in records
            for key, value in record.items()
            if key != "step" and _is_number(value)
        ]
        with mlflow_errors("log metrics"):
            for start in range(0, len(metrics), BATCH):
                self.client.log_batch(self.id, metrics=metrics[start : start + BATCH])

    def file(self, path: Path, folder: str = "") -> None:
        """Log one file below `folder` of the artifacts."""
        with mlflow_errors(f"log {path.name}"):
            self.client.log_artifact(self.id, str(path), folder or None)

    def folder(self, path: Path, folder: str) -> str:
        """Log every file of a folder below `folder` of the artifacts; returns its URI."""
        self.client.log_artifacts(self.id, str(path), folder)
        return f"{self.artifact_uri}/{folder}"

    @property
    def finished(self) -> bool:
        """Whether everything was logged before."""
        return bool(self.client.get_run(self.id).info.status == "FINISHED")

    def start(self) -> None:
        """Mark the run as running, also one that had ended."""
        with mlflow_errors("mark a run"):
            self.client.update_run(self.id, status="RUNNING")

    def finish(self, status: str = "FINISHED") -> None:
        """Mark the run as finished, or as `FAILED` or `KILLED`."""
        with mlflow_errors("mark a run"):
            self.client.set_terminated(self.id, status)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
