"""Tracking: parameters, curves, pictures and reports of a run, in MLflow."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

EXPERIMENT = "umo"
IDENTITY_TAG = "umo.identity"
BATCH = 1000
"""Metrics that MLflow takes in one call."""

for _noisy in ("alembic", "mlflow.store.db.utils"):
    logging.getLogger(_noisy).setLevel(logging.WARNING)


def store_uri(out: Path) -> str:
    """The SQLite store of the run folder `out`."""
    return f"sqlite:///{out.resolve() / 'mlflow.db'}"


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
    def open(cls, out: Path, *, name: str, identity: str) -> "Run":
        """Start the run of `identity` in the store of `out`, or resume it.

        Args:
            out: Run folder: `mlflow.db` holds the store, `artifacts/` the files.
            name: What a person reads in the list of runs.
            identity: Result name of `umo.lineage`.
        """
        out.mkdir(parents=True, exist_ok=True)
        client = MlflowClient(tracking_uri=store_uri(out), registry_uri=store_uri(out))
        experiment = client.get_experiment_by_name(EXPERIMENT)
        experiment_id = (
            experiment.experiment_id
            if experiment
            else client.create_experiment(
                EXPERIMENT, artifact_location=(out.resolve() / "artifacts").as_uri()
            )
        )
        known = client.search_runs([experiment_id], f"tags.`{IDENTITY_TAG}` = '{identity}'")
        if known:
            return cls(client, known[0].info.run_id)
        created = client.create_run(experiment_id, run_name=name, tags={IDENTITY_TAG: identity})
        return cls(client, created.info.run_id)

    def parameters(self, values: Mapping[str, Any]) -> None:
        """Log nested settings, flattened with dots: `train.rank`."""
        flat = [Param(key, str(value)) for key, value in _flatten(values).items()]
        self.client.log_batch(self.id, params=flat)

    def scores(self, values: Mapping[str, Any]) -> None:
        """Log the numbers of a nested mapping as metrics, flattened with dots."""
        numbers = {key: value for key, value in _flatten(values).items() if _is_number(value)}
        metrics = [Metric(key, float(value), self._start, 0) for key, value in numbers.items()]
        self.client.log_batch(self.id, metrics=metrics)

    def curves(self, path: Path) -> None:
        """Log a `metrics.jsonl`: one record a line, each with its `step`."""
        metrics: list[Metric] = []
        for line in path.read_text().splitlines():
            record = json.loads(line)
            step = int(record.pop("step"))
            metrics += [
                Metric(f"curve.{key}", float(value), self._start, step)
                for key, value in record.items()
                if _is_number(value)
            ]
        for start in range(0, len(metrics), BATCH):
            self.client.log_batch(self.id, metrics=metrics[start : start + BATCH])

    def file(self, path: Path, folder: str = "") -> None:
        """Log one file below `folder` of the artifacts."""
        self.client.log_artifact(self.id, str(path), folder or None)

    def folder(self, path: Path, folder: str) -> str:
        """Log every file of a folder below `folder` of the artifacts; returns its URI."""
        self.client.log_artifacts(self.id, str(path), folder)
        return f"{self.artifact_uri}/{folder}"

    @property
    def finished(self) -> bool:
        """Whether everything was logged before."""
        return bool(self.client.get_run(self.id).info.status == "FINISHED")

    def finish(self) -> None:
        """Mark the run as finished."""
        self.client.set_terminated(self.id, "FINISHED")


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
