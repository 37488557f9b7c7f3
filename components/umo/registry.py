"""Registry: a tuned model as a version in MLflow, one version for each digest of the weights.

A version is a plain directory, `*.safetensors` beside a manifest with the sha256 of every file.
Trainers write `<name>-candidates` only; MLflow calls a version READY without looking at its files,
so they are verified here, before and after the copy.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.artifacts import download_artifacts
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

from umo import files
from umo.config import digest as digest_of
from umo.errors import UsageError
from umo.tracking import Run

DIGEST_TAG = "digest"
ARTIFACTS = "model"


@dataclass(frozen=True, kw_only=True)
class Version:
    """A registered model version."""

    model: str
    """Registered model, `<name>-candidates`."""
    version: int
    """Number that MLflow gave it."""
    digest: str
    """Digest of the weights."""
    uri: str
    """Where its files are."""
    created: bool
    """False when these weights were registered before."""


def weights_digest(manifest: dict[str, Any]) -> str:
    """Digest of the `*.safetensors` that a manifest lists: of the file, or of several together.

    Raises:
        UsageError: It lists none.
    """
    weights = {k: v for k, v in manifest["files"].items() if k.endswith(".safetensors")}
    if not weights:
        raise UsageError(
            f"no *.safetensors among {sorted(manifest['files'])}", hint="register a tuned model"
        )
    return next(iter(weights.values())) if len(weights) == 1 else digest_of(weights)


def register(run: Run, folder: Path, *, name: str) -> Version:
    """Register the model in `folder` as a version of `<name>-candidates`.

    Args:
        run: The MLflow run that made it; the files become its artifacts.
        folder: A folder closed by a manifest, with the weights as safetensors.
        name: Model name, without `-candidates`.

    Returns:
        The new version, or the one that already holds these weights.

    Raises:
        NotFoundError: The folder has no manifest.
        DiffersError: A file is not the one its manifest names.
        UsageError: The folder holds no weights.
    """
    digest = weights_digest(files.read_manifest(folder, verify=True))
    model = f"{name}-candidates"
    _ensure_model(run, model)
    known = run.client.search_model_versions(f"name = '{model}' and tags.{DIGEST_TAG} = '{digest}'")
    if known:
        return _version(known[0], digest, created=False)
    uri = run.folder(folder, ARTIFACTS)
    with tempfile.TemporaryDirectory() as scratch:
        copied = download_artifacts(artifact_uri=uri, dst_path=scratch)
        files.read_manifest(Path(copied), verify=True)
    made = run.client.create_model_version(
        model, source=uri, run_id=run.id, tags={DIGEST_TAG: digest}
    )
    return _version(made, digest, created=True)


def _ensure_model(run: Run, model: str) -> None:
    try:
        run.client.create_registered_model(model)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise


def _version(entry: ModelVersion, digest: str, *, created: bool) -> Version:
    return Version(
        model=entry.name,
        version=int(entry.version),
        digest=digest,
        uri=str(entry.source),
        created=created,
    )
