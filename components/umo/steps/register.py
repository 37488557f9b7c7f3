"""Step: record a run in MLflow and register its weights."""

import json
from dataclasses import asdict

from umo import lineage
from umo.files import read_manifest, write_text
from umo.ledger import Ledger
from umo.promotion.case import EVALUATION, Case
from umo.registry import Registry, candidates
from umo.steps.journal import Outcome
from umo.steps.layout import Layout
from umo.store import Store
from umo.tracking import Run, actor

SETTINGS = ("config", "base", "data", "face_pack", "code", "weights")
"""Facts of the LoRA's manifest that become parameters."""


def run(name: str, *, layout: Layout) -> Outcome:
    """Log the run in `layout`, register its LoRA as a version of `<name>-candidates`, say so.

    MLflow and ledger are those of the environment, else `mlflow.db` and `ledger.db` in the run
    folder. Doing it again finds the same run and version and adds nothing to the ledger.

    Raises:
        DeniedError: MLflow does not let this user.
        DiffersError: A file of the LoRA is not the one its manifest names.
    """
    store = Store.of_run(layout.out)
    tuned, judged = read_manifest(layout.train), read_manifest(layout.evaluation)
    identity = lineage.identity(
        name,
        data={"train": tuned["digest"], "evaluation": judged["digest"]},
        base=tuned["base"]["digest"],
    )
    record = Run.open(store, name=name, identity=identity)
    recorded = record.finished
    if not recorded:
        record.parameters({key: tuned[key] for key in SETTINGS})
        record.curves(layout.train / "metrics.jsonl")
        record.scores(json.loads((layout.evaluation / "summary.json").read_text()))
        record.folder(layout.evaluation, EVALUATION)
    registry, ledger = Registry(store), Ledger(store.ledger)
    version = registry.register(record, layout.train, model=candidates(name))
    record.finish()
    case = Case.open(registry, ledger, name, version.version)
    ledger.extend(case.arrival(actor(store), record.id, layout.evaluation))
    write_text(layout.version, json.dumps(asdict(version), indent=1) + "\n")
    return Outcome(folder=layout.train, digest=version.digest, reused=recorded)
