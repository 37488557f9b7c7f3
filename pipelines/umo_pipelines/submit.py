"""Submits the pipelines."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from umo.bases import EMBEDDED
from umo.config import to_mapping
from umo.files import read_manifest
from umo.lineage import code_version
from umo.review.policy import Policy
from umo.steps.layout import Layout
from umo.steps.run import RunConfig, summary
from umo.store import Store
from umo_pipelines.process import locked, run_pipeline

TRAINING = ("synthesize tune", "synthesize held-out", "train", "evaluate", "register")
PROMOTION = ("submit", "wait for approval", "promote")
DEPLOY = "deploy"


def run_local(config: RunConfig, out: Path, *, progress: bool = True) -> dict[str, Any]:
    """Run the training pipeline on this machine by kfp's local runner.

    Every task is a process of its own; what they and kfp print goes to `<out>/logs/pipeline.log`.
    A step whose result is already in `out` is reused.

    Args:
        config: The whole run.
        out: Run folder, made if it is not there.
        progress: Whether to show the steps on stderr.

    Returns:
        `report`, `model`, `version`, `digest`, `seconds`, `peak_memory_mb` (of all processes
        together), `mlflow`, and the scores of the evaluation.

    Raises:
        NotFoundError: The base is no folder that umo wrote.
        UmoError: A step failed, with its message and exit code, or was interrupted.
        UsageError: Another run is writing to `out`, or MLflow is a server and no ledger is named.
    """
    started = time.monotonic()
    layout = Layout(out.resolve())
    Store.of_run(layout.out)
    with locked(layout.out):
        peak = run_pipeline(
            "training", arguments(config, layout.out), layout, steps=TRAINING, progress=progress
        )
        return {
            **summary(layout),
            "seconds": round(time.monotonic() - started, 1),
            "peak_memory_mb": peak // 2**20,
        }


def arguments(config: RunConfig, out: Path) -> dict[str, str]:
    """Parameters of the pipeline."""
    return {
        "out": str(out),
        "code": code_version(),
        "base": config.base,
        "base_digest": _base_digest(config.base),
        "pack": config.pack,
        "tune": json.dumps(to_mapping(config.tune)),
        "held_out": json.dumps(to_mapping(config.held_out)),
        "train": json.dumps(to_mapping(config.tuning)),
        "evaluation": json.dumps(to_mapping(config.evaluation)),
        "model": config.model,
    }


def promotion_steps(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Steps of a promotion with these parameters."""
    return (*PROMOTION, DEPLOY) if values["minutes"] else PROMOTION


def _base_digest(base: str) -> str:
    digest: str = read_manifest(EMBEDDED if base == "embedded" else Path(base))["digest"]
    return digest


def promote_local(
    model: str,
    version: int,
    out: Path,
    *,
    policy: Policy,
    base: str = "embedded",
    hours: float = 72.0,
    minutes: float = 0.0,
    progress: bool = True,
) -> dict[str, Any]:
    """Run the promotion pipeline on this machine: gates, wait for a reviewer, promote.

    Every task acts as the user of this environment. The same call goes on where it stopped.

    Args:
        model: Model name.
        version: Version of the candidate.
        out: Its run folder, or another one for the logs.
        policy: The gates' thresholds.
        base: Its base, `embedded` or a folder.
        hours: How long to wait for a reviewer.
        minutes: How long to wait for a deployer afterwards; 0 where nobody serves the model.
        progress: Whether to show the steps on stderr.

    Returns:
        `model`, `version` and `seconds`.

    Raises:
        UmoError: A step failed, with its message and exit code, or was interrupted.
        UsageError: Another pipeline is running in `out`.
    """
    started = time.monotonic()
    layout = Layout(out.resolve())
    values = {
        "out": str(layout.out),
        "model": model,
        "version": version,
        "policy": json.dumps(to_mapping(policy)),
        "base": base,
        "hours": hours,
        "minutes": minutes,
    }
    with locked(layout.out):
        run_pipeline("promotion", values, layout, steps=promotion_steps(values), progress=progress)
    return {
        "model": model,
        "version": version,
        "seconds": round(time.monotonic() - started, 1),
    }
