"""Registry: a tuned model as a version in MLflow, one version for each digest of the weights.

A version is a plain directory, `*.safetensors` beside a manifest with the sha256 of every file.
Trainers write `<name>-candidates`, the promoter alone writes `<name>`, whose versions are copies
of the bytes in an experiment of its own. MLflow calls a version READY without looking at its
files, so they are verified here.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from umo import files
from umo.config import digest as digest_of
from umo.errors import DiffersError, NotFoundError, UsageError
from umo.store import Store
from umo.tracking import EXISTS, Run, connect, ensure_experiment, mlflow_errors

DIGEST_TAG = "digest"
MANIFEST_TAG = "manifest"
INTENT_TAG = "ledger"
ARTIFACTS = "model"
CANDIDATES = "-candidates"
CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
ALIASES = (CHAMPION, CHALLENGER, PREVIOUS)


@dataclass(frozen=True, kw_only=True)
class Version:
    """A registered model version."""

    model: str
    """Registered model, `<name>-candidates` or `<name>`."""
    version: int
    """Number that MLflow gave it."""
    digest: str
    """Digest of the weights; nothing if umo did not register it."""
    manifest: str
    """sha256 of `manifest.json`."""
    uri: str
    """Where its files are."""
    run: str
    """MLflow run that its files belong to."""
    intent: str = ""
    """Hash of the ledger's row that meant to promote it."""

    @property
    def title(self) -> str:
        """What a person calls it."""
        return f"{self.model} {self.version}"


def weights_digest(manifest: Mapping[str, Any]) -> str:
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


def candidates(name: str) -> str:
    """The registered model of the candidates for `name`."""
    return f"{name}{CANDIDATES}"


def production(name: str) -> str:
    """The experiment that holds the files of the registered model `name`."""
    return f"{name}-production"


class Registry:
    """Versions, aliases and files in the MLflow of a store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.client: MlflowClient = connect(store)

    def names(self) -> list[str]:
        """Names of the models that have candidates."""
        with mlflow_errors("list the models"):
            models = self.client.search_registered_models(max_results=1000)
        return sorted(
            model.name.removesuffix(CANDIDATES)
            for model in models
            if model.name.endswith(CANDIDATES)
        )

    def versions(self, model: str) -> list[Version]:
        """Every version of a registered model, by number."""
        with mlflow_errors(f"read the versions of {model}"):
            found = self.client.search_model_versions(f"name = '{_checked(model)}'")
        return sorted(map(_version, found), key=lambda version: version.version)

    def candidate(self, name: str, number: int) -> Version:
        """One candidate.

        Raises:
            DiffersError: umo did not register it.
            NotFoundError: There is no such version.
        """
        model = candidates(name)
        versions = self.versions(model)
        for version in versions:
            if version.version == number and not (version.digest and version.manifest):
                raise DiffersError(
                    f"{version.title} has no digests of its weights and manifest",
                    hint="register it again: give the same `umo run` command",
                )
            if version.version == number:
                return version
        known = ", ".join(str(version.version) for version in versions) or "none"
        raise NotFoundError(
            f"{model} has no version {number}, only {known}", hint="see `umo models list`"
        )

    def find(self, model: str, digest: str) -> Version | None:
        """The version of a registered model with these weights."""
        with mlflow_errors(f"read the versions of {model}"):
            found = self.client.search_model_versions(
                f"name = '{_checked(model)}' and tags.{DIGEST_TAG} = '{digest}'"
            )
        return min(map(_version, found), key=lambda version: version.version, default=None)

    def register(
        self,
        run: Run,
        folder: Path,
        *,
        model: str,
        tags: Mapping[str, str] | None = None,
        description: str | None = None,
    ) -> Version:
        """Store the model in `folder` as files of a run and make them a version, once.

        Args:
            run: MLflow run that gets the files.
            folder: A folder closed by a manifest, with the weights as safetensors.
            model: Registered model.
            tags: Of a new version, beside its digests.
            description: Of a new version.

        Returns:
            The new version, or the one of `model` that already holds these weights.

        Raises:
            DeniedError: MLflow does not let this user.
            DiffersError: A file is not the one its manifest names.
            NotFoundError: The folder has no manifest.
            UsageError: The folder holds no weights.
        """
        digest = weights_digest(files.read_manifest(folder, verify=True))
        self.ensure_model(model)
        known = self.find(model, digest)
        digests = {DIGEST_TAG: digest, MANIFEST_TAG: files.sha256(folder / files.MANIFEST)}
        if known and known.manifest:
            return known
        if known:
            with mlflow_errors(f"write a tag of {known.title}"):
                self.client.set_model_version_tag(
                    model, str(known.version), MANIFEST_TAG, digests[MANIFEST_TAG]
                )
            return replace(known, manifest=digests[MANIFEST_TAG])
        with mlflow_errors(f"write a version of {model}"):
            uri = run.folder(folder, ARTIFACTS)
        with self.files(run.id) as stored:
            files.read_manifest(stored, verify=True)
        with mlflow_errors(f"write a version of {model}"):
            made = self.client.create_model_version(
                model,
                source=uri,
                run_id=run.id,
                tags={**(tags or {}), **digests},
                description=description,
                await_creation_for=0,
            )
        return _version(made)

    def has_model(self, model: str) -> bool:
        """Whether there is a registered model of that name."""
        with mlflow_errors(f"read the registered model {model}"):
            return bool(self.client.search_registered_models(f"name = '{_checked(model)}'"))

    def ensure_model(self, model: str) -> None:
        """Make a registered model if it is not there."""
        if self.has_model(model):
            return
        with mlflow_errors(f"make the registered model {model}"):
            try:
                self.client.create_registered_model(model)
            except MlflowException as error:
                if error.error_code != EXISTS:
                    raise

    def experiment(self, name: str, *, make: bool) -> str:
        """Id of an experiment; nothing if it is not there and not to be made."""
        with mlflow_errors(f"read the experiment {name}"):
            if make:
                return ensure_experiment(self.client, self.store, name)
            known = self.client.get_experiment_by_name(name)
        return str(known.experiment_id) if known else ""

    def record(self, run: str) -> tuple[dict[str, str], dict[str, float]]:
        """Parameters and last metrics of a run."""
        with mlflow_errors(f"read the run {run}"):
            data = self.client.get_run(run).data
        return dict(data.params), dict(data.metrics)

    def address(self, run: str, path: str) -> str:
        """Where a person finds an artifact of a run: a file, or a page of MLflow's own viewer."""
        with mlflow_errors(f"read the run {run}"):
            info = self.client.get_run(run).info
        if self.store.tracking.startswith("http"):
            place = f"#/experiments/{info.experiment_id}/runs/{run}/artifacts/{path}"
            return f"{self.store.shown.rstrip('/')}/{place}"
        return f"{info.artifact_uri.removeprefix('file://')}/{path}"

    @contextmanager
    def files(self, run: str, path: str = ARTIFACTS) -> Iterator[Path]:
        """A copy of a folder of a run's artifacts, gone when the block ends.

        Raises:
            NotFoundError: There is none.
        """
        with tempfile.TemporaryDirectory() as scratch:
            with mlflow_errors(f"read {path} of the run {run}"):
                copied = download_artifacts(
                    run_id=run,
                    artifact_path=path,
                    dst_path=scratch,
                    tracking_uri=self.store.tracking,
                )
            if not Path(copied).is_dir():
                raise NotFoundError(f"the run {run} has no artifacts in {path}")
            yield Path(copied)

    def add_files(self, run: str, folder: Path, path: str) -> None:
        """Store the files of a folder below `path` of a run's artifacts."""
        with mlflow_errors(f"write {path} of the run {run}"):
            self.client.log_artifacts(run, str(folder), path)

    def add_file(self, run: str, file: Path, path: str) -> None:
        """Store a file below `path` of a run's artifacts."""
        with mlflow_errors(f"write {path} of the run {run}"):
            self.client.log_artifact(run, str(file), path)

    def aliases(self, model: str) -> dict[str, int]:
        """Version number of each alias of a registered model; nothing if there is no model."""
        with mlflow_errors(f"read the aliases of {model}"):
            found = self.client.search_registered_models(f"name = '{_checked(model)}'")
        return {alias: int(number) for entry in found for alias, number in entry.aliases.items()}

    def set_alias(self, model: str, alias: str, number: int) -> None:
        """Point an alias at a version."""
        with mlflow_errors(f"move the alias {alias} of {model}"):
            self.client.set_registered_model_alias(model, alias, str(number))

    def drop_alias(self, model: str, alias: str) -> None:
        """Remove an alias if it is there."""
        with mlflow_errors(f"remove the alias {alias} of {model}"):
            self.client.delete_registered_model_alias(model, alias)


def _checked(model: str) -> str:
    if not model or set("'\"`\\/:") & set(model):
        raise UsageError(f"{model!r} is no model name", hint="see `umo models list`")
    return model


def _version(entry: ModelVersion) -> Version:
    return Version(
        model=entry.name,
        version=int(entry.version),
        digest=entry.tags.get(DIGEST_TAG, ""),
        manifest=entry.tags.get(MANIFEST_TAG, ""),
        uri=str(entry.source),
        run=str(entry.run_id),
        intent=entry.tags.get(INTENT_TAG, ""),
    )
