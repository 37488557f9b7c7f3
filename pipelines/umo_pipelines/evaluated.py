"""Evaluation of a version that was registered before: get it from MLflow, record how it did."""

import json
import shutil
from pathlib import Path

from umo import lineage
from umo.errors import DiffersError, NotFoundError
from umo.files import atomic_folder, read_manifest
from umo.ledger import Ledger
from umo.registry import Registry, Version, candidates, weights_digest
from umo.steps.layout import Layout
from umo.store import Store
from umo.tracking import Run

EXPERIMENT = "umo-evaluations"


def resolve(registry: Registry, ledger: Ledger, model: str, version: str) -> Version:
    """The candidate that `version`, a number or `champion`, means now.

    Raises:
        NotFoundError: There is none.
    """
    if version != "champion":
        return registry.candidate(model, int(version))
    champion = ledger.champion(model)
    if champion is None:
        raise NotFoundError(f"{model} has no champion", hint=f"see `umo models history {model}`")
    return registry.candidate(model, champion.version)


def fetch(out: str, model: str, version: str, digest: str) -> str:
    """Put a version where a training would have left it, unless it is there.

    Args:
        out: Run folder.
        model: Name of the model.
        version: What the caller calls it, for messages.
        digest: Of its weights.

    Returns:
        The digest of the folder.

    Raises:
        DiffersError: MLflow holds other bytes.
        NotFoundError: MLflow knows no such weights.
    """
    layout = Layout(Path(out))
    if not _holds(layout.train, digest):
        registry = Registry(Store.of_run(layout.out))
        found = registry.find(candidates(model), digest)
        if found is None:
            raise NotFoundError(
                f"{model} {version} with weights {digest[:12]} is not in MLflow",
                hint="see `umo models list`",
            )
        shutil.rmtree(layout.train, ignore_errors=True)
        with registry.files(found.run) as stored, atomic_folder(layout.train) as staged:
            shutil.copytree(stored, staged, dirs_exist_ok=True)
        if not _holds(layout.train, digest):
            raise DiffersError(f"MLflow holds other weights than {digest[:12]} for {found.title}")
    return str(read_manifest(layout.train, verify=True)["digest"])


def record(out: str, model: str, evaluation: str) -> str:
    """Record an evaluation as a run of its own, once; returns the id of the run."""
    layout = Layout(Path(out))
    lineage.expect(layout.evaluation, evaluation)
    weights = weights_digest(read_manifest(layout.train))
    run = Run.open(
        Store.of_run(layout.out),
        name=f"{model} evaluation",
        identity=lineage.identity(model, data={"evaluation": evaluation, "weights": weights}),
        experiment=EXPERIMENT,
    )
    if not run.finished:
        run.parameters({"model": model, "weights": weights})
        run.scores(json.loads((layout.evaluation / "summary.json").read_text()))
        run.folder(layout.evaluation, "evaluation")
        run.finish()
    return run.id


def _holds(folder: Path, digest: str) -> bool:
    try:
        return weights_digest(read_manifest(folder, verify=True)) == digest
    except (NotFoundError, DiffersError):
        return False
