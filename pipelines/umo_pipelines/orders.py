"""What a person orders of a pipeline, and what they are told of it."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from umo.config import to_mapping
from umo.data.share import Share
from umo.errors import DeniedError, NotFoundError, UmoError, UsageError
from umo.ledger import Ledger
from umo.registry import Registry
from umo.review.policy import load_policy
from umo.steps.dataset import DatasetConfig
from umo.steps.layout import Layout
from umo.steps.run import RunConfig
from umo.store import Store
from umo_pipelines import submit
from umo_pipelines.evaluated import resolve
from umo_pipelines.kube import Kube
from umo_pipelines.placement import RUN_LABEL
from umo_pipelines.process import Pipeline, locked, run_pipeline
from umo_pipelines.trainjob import JOBSET, NODE, why_failed, why_pending

EVALUATION = ("synthesize held-out", "evaluate")
"""Steps that say how far they are."""
STEPS: dict[Pipeline, tuple[str, ...]] = {
    "training": submit.TRAINING,
    "evaluation": EVALUATION,
}
MAIN = "main"
"""Container of KFP's pods."""


def values(
    pipeline: str,
    settings: RunConfig,
    out: Path,
    *,
    version: str,
    hours: float,
    minutes: float,
) -> dict[str, Any]:
    """Parameters of a pipeline.

    Args:
        pipeline: Which one.
        settings: Of the run.
        out: Run folder.
        version: Candidate to judge or promote: a number, or `champion`.
        hours: How long a promotion waits for a reviewer.
        minutes: How long it waits for a deployer; 0 does not wait.

    Raises:
        UsageError: The version is no number, or the champion is to be promoted.
    """
    if pipeline == "training":
        return dict(submit.arguments(settings, out))
    if version != "champion" and not version.isdecimal():
        raise UsageError(f"{version!r} is no version", hint="give a number, or champion")
    if pipeline == "promotion":
        if version == "champion":
            raise UsageError("the champion is promoted already", hint="name a --version")
        policy = json.dumps(to_mapping(load_policy(None)))
        return {
            "out": str(out),
            "model": settings.model,
            "version": int(version),
            "policy": policy,
            "base": settings.base,
            "hours": hours,
            "minutes": minutes,
        }
    store = Store.existing(None, default=Path("runs/default"))
    found = resolve(Registry(store), Ledger(store.ledger), settings.model, version)
    shared = submit.arguments(settings, out)
    names = ("out", "code", "base", "base_digest", "pack", "held_out", "evaluation", "model")
    return {
        **{name: shared[name] for name in names},
        "version": str(found.version),
        "digest": found.digest,
    }


def data_values(settings: DatasetConfig, out: Path, *, shares: int) -> dict[str, Any]:
    """Parameters of the data pipeline, whose work is cut into so many shares."""
    return {
        "out": str(out),
        "order": json.dumps(to_mapping(settings)),
        "shares": [str(Share(number, shares)) for number in range(shares)],
    }


def run_here(pipeline: Pipeline, given: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """Run a pipeline on this machine until it ends."""
    started = time.monotonic()
    layout = Layout(out.resolve())
    match pipeline:
        case "promotion":
            steps = submit.promotion_steps(given)
        case "data":
            steps = (*(f"work {share}" for share in given["shares"]), "collect")
        case _:
            steps = STEPS[pipeline]
    with locked(layout.out):
        run_pipeline(pipeline, given, layout, steps=steps, progress=True)
    return {"out": str(layout.out), "seconds": round(time.monotonic() - started, 1)}


def why(run: Mapping[str, Any], namespace: str = "") -> list[str]:
    """Why tasks of a run wait or failed: events, out of memory, evicted, last lines.

    Kubernetes is asked where this account may; if not, a line says so.
    """
    troubled = [task for task in run["tasks"] if task["state"] in ("PENDING", "RUNNING", "FAILED")]
    if not troubled:
        return [run["error"]] if run["error"] else []
    try:
        kube = Kube(namespace)
        pods = kube.pods(f"{RUN_LABEL}={run['id']}")
        return [line for task in troubled for line in _task_trouble(kube, task, pods)]
    except UmoError as error:
        return [f"the cluster cannot be asked why: {error}"]


def _task_trouble(kube: Kube, task: Mapping[str, Any], of_run: list[Any]) -> Iterator[str]:
    pods = [pod for pod in of_run if pod.metadata.name == task["pod"]]
    if not pods:
        return
    if pods[-1].status.phase == "Pending":
        yield f"{task['name']} waits: {why_pending(kube, pods)}"
    elif reason := why_failed(pods):
        yield f"{task['name']}: {reason}"
        last = kube.log(task["pod"], container=MAIN, lines=5)
        yield from (f"  {line}" for line in last.splitlines())


def next_command(run: Mapping[str, Any]) -> str:
    """What a person does next with a run."""
    match run["state"]:
        case "SUCCEEDED":
            if "order" in run["parameters"]:
                return f"umo data show {Layout(Path(run['parameters']['out'])).made}"
            model = run["parameters"].get("model", "")
            return f"umo models list {model}".strip()
        case "FAILED":
            return f"umo runs logs {run['id']}"
        case "CANCELED":
            return "umo runs submit, with the same --out: it goes on from what is there"
    return f"umo runs show {run['id']}"


def logs(kube: Kube, run: Mapping[str, Any], *, task: str, lines: int) -> Iterator[tuple[str, str]]:
    """Name and last lines of each pod of a run, and of its TrainJobs.

    Raises:
        NotFoundError: There is no such task, or its pods are gone.
    """
    known = {one["name"]: one["pod"] for one in run["tasks"]}
    if task and task not in known:
        raise NotFoundError(f"no task {task!r}", hint=f"there is {', '.join(known) or 'none'}")
    wanted = {known[task]} if task else set(known.values())
    found = False
    for pod in kube.pods(f"{RUN_LABEL}={run['id']}"):
        if pod.metadata.name in wanted:
            found = True
            yield pod.metadata.name, _log(kube, pod.metadata.name, MAIN, lines)
    if task in ("", "train"):
        for pod in kube.pods(JOBSET):
            yield pod.metadata.name, _log(kube, pod.metadata.name, NODE, lines)
    if not found:
        raise NotFoundError(
            f"the pods of {run['name']} are gone", hint="KFP keeps their logs as artifacts"
        )


def _log(kube: Kube, pod: str, container: str, lines: int) -> str:
    try:
        return kube.log(pod, container=container, lines=lines)
    except DeniedError:
        raise
    except UmoError as error:
        return str(error)
