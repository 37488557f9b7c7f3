"""Training as a TrainJob of Kubeflow Trainer: submit it, or find it again, and follow it.

A job is named from what it computes, so that a step that was started again re-attaches to it. Its
nodes share the run folder on a volume and go on from their newest checkpoint; the runtime in the
chart says which ends are no failure (eviction, exit code 75).
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubeflow_trainer_api import models

from umo.config import digest
from umo.errors import DiffersError, ExitCode, UmoError, UsageError
from umo_pipelines.kube import GROUP, VERSION, Kube

KIND, RUNTIME_KIND = "TrainJob", "ClusterTrainingRuntime"
NODE = "node"
"""Container and job of the runtime that train."""
JOBSET = "jobset.sigs.k8s.io/jobset-name"
FINGERPRINT = "umo/fingerprint"
"""Annotation: what the job was asked to compute."""
POLL_SECONDS = 5.0
LINES = 40


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to train, and with what."""

    run: str
    """Name of the run."""
    data: str
    """Folder of the dataset on the shared volume."""
    data_digest: str
    """Of the dataset."""
    out: str
    """Folder of the result there."""
    config: str
    """File of the settings there."""
    settings: Mapping[str, Any]
    """What stands in that file."""
    base: str = "embedded"
    """`embedded`, or a folder there."""
    pack: str = "open"
    """Face pack."""
    runtime: str = "umo-umo-platform-training"
    """ClusterTrainingRuntime of the chart."""
    nodes: int = 1
    """How many."""
    processes: int = 1
    """On each node; one for each GPU that the runtime gives it."""
    secret: str = ""
    """Secret whose keys become variables of the nodes; for checkpoints on S3."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Further labels."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            UsageError: One is not positive.
        """
        if self.nodes < 1 or self.processes < 1:
            raise UsageError(
                f"{self.nodes} nodes with {self.processes} processes",
                hint="ask for at least one node and one process",
            )

    @property
    def fingerprint(self) -> str:
        """Digest of what is computed, not of with what."""
        return digest(
            {
                "data": self.data_digest,
                "out": self.out,
                "base": self.base,
                "pack": self.pack,
                "settings": dict(self.settings),
            }
        )

    @property
    def name(self) -> str:
        """Name of its TrainJob: of the run, and what is computed; at most 40 characters."""
        kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in self.run.lower()).strip(
            "-"
        )[:24]
        return f"umo-{kept.strip('-') or 'run'}-{self.fingerprint[:8]}"

    def command(self) -> list[str]:
        """What a node runs; torchrun reads where the others are from the variables of Trainer."""
        train = ["umo", "train", "--data", self.data, "--out", self.out]
        train += ["--base", self.base, "--faces", self.pack, "--config", self.config]
        alone = self.nodes * self.processes == 1
        # A process that is alone ends with its own exit code, which torchrun would hide.
        return train if alone else ["torchrun", "--no-python", *train]


def manifest(order: Order) -> dict[str, Any]:
    """The TrainJob of an order.

    Raises:
        DiffersError: kubeflow-trainer-api drops a field of it.
    """
    trainer: dict[str, Any] = {
        "command": order.command(),
        "numNodes": order.nodes,
        "numProcPerNode": order.processes,
    }
    if order.secret:
        trainer["env"] = [
            {
                "name": name,
                "valueFrom": {"secretKeyRef": {"name": order.secret, "key": name}},
            }
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        ]
    job = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {
            "name": order.name,
            "labels": {"app.kubernetes.io/part-of": "umo-platform", **order.labels},
            "annotations": {FINGERPRINT: order.fingerprint, "umo/run": order.run},
        },
        "spec": {
            "runtimeRef": {"apiGroup": GROUP, "kind": RUNTIME_KIND, "name": order.runtime},
            "trainer": trainer,
        },
    }
    model = models.TrainerV1alpha1TrainJob.from_dict(job)
    kept = json.loads(model.to_json()) if model else {}
    if kept != job:
        raise DiffersError(
            f"kubeflow-trainer-api understands another TrainJob than {order.name}",
            hint="install the pinned kubeflow-trainer-api",
        )
    return job


def submit(kube: Kube, order: Order) -> bool:
    """Submit the TrainJob of an order, unless it is there.

    Returns:
        Whether it was submitted now.

    Raises:
        DiffersError: One of that name computes something else.
    """
    try:
        kube.create_job(manifest(order))
        return True
    except DiffersError:
        there = kube.job(order.name)["metadata"].get("annotations", {}).get(FINGERPRINT)
        if there != order.fingerprint:
            raise DiffersError(
                f"the TrainJob {order.name} computes {there}, asked for is {order.fingerprint}",
                hint="delete it, or name the run otherwise",
            ) from None
        return False


def follow(
    kube: Kube,
    name: str,
    *,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until a TrainJob ends, and tell what its first node says meanwhile.

    Args:
        kube: The cluster.
        name: Of the job.
        say: Takes new lines of the log, and what keeps the job waiting.
        sleep: Waits between two looks.

    Raises:
        NotFoundError: It was removed.
        UmoError: It failed; with what its last pod said.
    """
    shown: list[str] = []
    waiting = ""
    while True:
        try:
            state, message = state_of(kube.job(name))
            pods = kube.pods(f"{JOBSET}={name}")
            if pods and pods[-1].status.phase != "Pending":
                first = _first(pods)
                lines = kube.log(first, container=NODE, lines=LINES).splitlines()
                for line in fresh(shown, lines):
                    say(line)
                shown = lines
            elif (reason := why_pending(kube, pods)) != waiting:
                waiting = reason
                say(f"waiting: {reason}")
        except UmoError as error:
            if not error.retryable:
                raise
            say(str(error))
            state, message = "", ""
        if state == "Complete":
            return
        if state == "Failed":
            raise UmoError(
                f"the TrainJob {name} failed: {why_failed(pods) or message}",
                hint=f"see `umo runs logs {name}`",
                exit_code=exit_code(pods),
            )
        sleep(POLL_SECONDS)


def state_of(job: Mapping[str, Any]) -> tuple[str, str]:
    """`Complete`, `Failed`, `Suspended` or nothing, and what the controller says of it."""
    for condition in job.get("status", {}).get("conditions", []):
        if condition["status"] == "True" and condition["type"] in (
            "Complete",
            "Failed",
            "Suspended",
        ):
            return condition["type"], condition.get("message", "")
    return "", ""


def fresh(before: list[str], now: list[str]) -> list[str]:
    """Lines that came since the last look, where both are the end of one log."""
    for size in range(min(len(before), len(now)), 0, -1):
        if before[-size:] == now[:size]:
            return now[size:]
    return now


def why_pending(kube: Kube, pods: list[Any]) -> str:
    """Why no node runs: the last event of its pod."""
    if not pods:
        return "no pod yet"
    pod = pods[-1]
    for status in pod.status.container_statuses or []:
        if status.state and status.state.waiting:
            return f"{status.state.waiting.reason}: {status.state.waiting.message or ''}".strip(
                ": "
            )
    events = kube.events(pod.metadata.name)
    return f"{events[-1].reason}: {events[-1].message}" if events else "not scheduled yet"


def why_failed(pods: list[Any]) -> str:
    """Why the last pod that ended badly did: evicted, out of memory, its exit code."""
    for pod in reversed(pods):
        if pod.status.reason:
            return f"{pod.metadata.name} was {pod.status.reason.lower()}: {pod.status.message}"
        for status in pod.status.container_statuses or []:
            ended = status.state.terminated if status.state else None
            if ended and ended.reason == "OOMKilled":
                return f"{pod.metadata.name} ran out of memory; raise training.resources"
            if ended and ended.exit_code:
                return f"{pod.metadata.name} ended with exit code {ended.exit_code}"
    return ""


def exit_code(pods: list[Any]) -> ExitCode:
    """How the last pod ended, in the words of `umo`."""
    for pod in reversed(pods):
        for status in pod.status.container_statuses or []:
            ended = status.state.terminated if status.state else None
            if ended and ended.exit_code in set(ExitCode) - {ExitCode.OK}:
                return ExitCode(ended.exit_code)
    return ExitCode.FAILED


def train(
    out: str, config: str, base: str, pack: str, data: str, *, order: Mapping[str, Any]
) -> str:
    """Train as a TrainJob what `umo.steps.entry.train` trains in this process.

    Args:
        out: Run folder, on the volume that the nodes have as well.
        config: Settings as JSON text.
        base: `embedded` or a folder there.
        pack: Face pack.
        data: Digest of the tuning split.
        order: Further fields of `Order`: `runtime`, `nodes`, `processes`, `secret`.

    Returns:
        The digest of the folder that was written.
    """
    from umo import lineage
    from umo.files import read_manifest, write_text
    from umo.steps import journal
    from umo.steps.layout import Layout

    layout = Layout(Path(out))
    with journal.step(layout.out, "train") as pen:
        lineage.expect(layout.data("tune"), data)
        settings = layout.logs / "train.json"
        write_text(settings, config)
        wanted = Order(
            run=layout.out.name,
            data=str(layout.data("tune")),
            data_digest=data,
            out=str(layout.train),
            config=str(settings),
            settings=json.loads(config),
            base=base,
            pack=pack,
            **order,
        )
        kube = Kube()
        fresh_job = submit(kube, wanted)
        follow(kube, wanted.name, say=print)
        digest_found = str(read_manifest(layout.train)["digest"])
        return pen.finish(
            journal.Outcome(folder=layout.train, digest=digest_found, reused=not fresh_job)
        )


def _first(pods: list[Any]) -> str:
    """The newest pod of the first node."""
    index = "batch.kubernetes.io/job-completion-index"
    first = [pod for pod in pods if (pod.metadata.labels or {}).get(index, "0") == "0"]
    return str((first or pods)[-1].metadata.name)
