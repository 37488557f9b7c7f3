"""Step: record a run in MLflow and register its weights."""

import json
from dataclasses import asdict

from umo import lineage
from umo.files import read_manifest, write_text
from umo.registry import register
from umo.steps.journal import Outcome
from umo.steps.layout import Layout
from umo.tracking import Run

SETTINGS = ("config", "base", "data", "face_pack", "code", "weights")
"""Facts of the LoRA's manifest that become parameters."""


def run(name: str, *, layout: Layout) -> Outcome:
    """Log the run in `layout` and register its LoRA as a version of `<name>-candidates`.

    The store is `mlflow.db` in the run folder. Doing it again finds the same run and version.

    Raises:
        DiffersError: A file of the LoRA is not the one its manifest names.
    """
    tuned, judged = read_manifest(layout.train), read_manifest(layout.evaluation)
    identity = lineage.identity(
        name,
        data={"train": tuned["digest"], "evaluation": judged["digest"]},
        base=tuned["base"]["digest"],
    )
    record = Run.open(layout.out, name=name, identity=identity)
    recorded = record.finished
    if not recorded:
        record.parameters({key: tuned[key] for key in SETTINGS})
        record.curves(layout.train / "metrics.jsonl")
        record.scores(json.loads((layout.evaluation / "summary.json").read_text()))
        record.folder(layout.evaluation, "evaluation")
    version = register(record, layout.train, name=name)
    record.finish()
    facts = {key: value for key, value in asdict(version).items() if key != "created"}
    write_text(layout.version, json.dumps({**facts, "run": record.id}, indent=1) + "\n")
    return Outcome(
        folder=layout.train, digest=version.digest, reused=recorded and not version.created
    )
