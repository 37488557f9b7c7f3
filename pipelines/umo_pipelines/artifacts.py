"""What tasks hand to kfp for people to look at; the data itself stays in the run folder."""

import json
import shutil
from pathlib import Path
from typing import Any

from umo.errors import DiffersError, UsageError
from umo.files import MANIFEST, read_manifest
from umo.steps.journal import journal_path, read


def describe(artifact: Any, folder: Path) -> None:
    """Fill an artifact with a folder's manifest: the sha256 of every file, and what it is made of.

    Args:
        artifact: Of kfp.
        folder: Closed by a manifest.
    """
    target = Path(artifact.path)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / MANIFEST, target)
    artifact.metadata["digest"] = str(read_manifest(folder)["digest"])
    artifact.metadata["folder"] = str(folder)


def show(evaluation: Path, report: Any, scores: Any) -> None:
    """Fill artifacts with the report and the judge's scores of an evaluation."""
    target = Path(report.path)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(evaluation / "report.html", target)
    summary = json.loads((evaluation / "summary.json").read_text())
    for model in ("base", "tuned"):
        for name, value in summary["models"][model]["judge"].items():
            scores.log_metric(f"{model}_{name}", value)


def check_dataset(folder: Path, digest: str) -> None:
    """Verify every byte of a dataset.

    Raises:
        DiffersError: A byte is not what the manifest says, or it is another dataset.
        UsageError: It is empty.
    """
    from umo.data.shards import Dataset

    found = str(read_manifest(folder, verify=True)["digest"])
    if found != digest:
        raise DiffersError(
            f"{folder} holds {found}, the run is about {digest}", hint="give the run another folder"
        )
    if not len(Dataset(folder)):
        raise UsageError(f"{folder} has no samples", hint="render more")


def ending(out: str) -> str:
    """How a run ended, by its journal: what failed and what to do, or that nothing did."""
    events = read(journal_path(Path(out)))
    line = "no step began"
    if events:
        newest = {event["step"]: event for event in events}.values()
        failed = [event for event in newest if event["event"] == "failed"]
        last = (failed or events)[-1]
        line = f"{last['step']}: {last['event']}"
        if last["event"] == "failed":
            line += f": {last['message']}; {last['hint']} (exit code {last['exit_code']})"
    print(line)
    return line
