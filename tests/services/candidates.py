"""Candidates of a few bytes, approved without an evaluation that takes minutes.

They go the real way but for the gates: real files in MLflow, real rows in the ledger, a real
approval of the bytes of a report.
"""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from umo.config import digest
from umo.files import MANIFEST, sha256, write_manifest
from umo.ledger import Ledger
from umo.promotion import approve
from umo.promotion.case import EVALUATION, REVIEW, Case
from umo.registry import Registry, Version, candidates
from umo.tracking import Run

TRAINER, REVIEWER, PROMOTER = "trainer", "reviewer", "promoter"
REPORT = "review.html"


def register(registry: Registry, ledger: Ledger, name: str, seed: int, scratch: Path) -> Version:
    """A candidate with an evaluation, as `umo.steps.register` leaves it; `seed` is its weights."""
    model, evaluation = scratch / f"{name}-{seed}", scratch / f"{name}-{seed}-evaluation"
    model.mkdir()
    save_file({"weight": np.full(2, seed, np.float32)}, model / "lora.safetensors")
    write_manifest(model, {"kind": "lora"})
    evaluation.mkdir()
    (evaluation / "summary.json").write_text(f'{{"seed": {seed}}}\n')
    write_manifest(evaluation, {"kind": "evaluation"})
    run = Run.open(registry.store, name=name, identity=digest([name, seed]))
    run.folder(evaluation, EVALUATION)
    version = registry.register(run, model, model=candidates(name))
    case = Case.open(registry, ledger, name, version.version)
    ledger.extend(case.arrival(TRAINER, run.id, evaluation))
    return version


def submit(registry: Registry, ledger: Ledger, name: str, number: int, scratch: Path) -> str:
    """Hand in a report on a candidate as if the gates had passed; its digest."""
    case = Case.open(registry, ledger, name, number)
    review = scratch / f"{name}-{number}-review"
    review.mkdir()
    (review / REPORT).write_text(f"<h1>{case.title}</h1>\n")
    write_manifest(review, {"kind": "review"})
    registry.add_files(case.version.run, review, REVIEW)
    report, manifest = sha256(review / REPORT), {"manifest": sha256(review / MANIFEST)}
    ledger.extend(
        [
            case.entry("gate_passed", TRAINER, report=report, details=manifest),
            case.entry("submitted", TRAINER, report=report, details=manifest),
        ]
    )
    return report


def approved(registry: Registry, ledger: Ledger, name: str, seed: int, scratch: Path) -> int:
    """Number of a new candidate that a reviewer approved."""
    number = register(registry, ledger, name, seed, scratch).version
    report = submit(registry, ledger, name, number, scratch)
    approve(registry, ledger, name, number, actor=REVIEWER, report=report, reason="as it should be")
    return number
