"""Where a task runs on a cluster: its volume, resources, time and account.

Nothing of it matters to kfp's local runner. GPUs are asked for when a pipeline is submitted, see
`umo_pipelines.remote`; here is what their nodes' taint needs.
"""

from dataclasses import dataclass
from typing import Any

from kfp import dsl, kubernetes

from umo.steps.journal import RUN

VOLUME = "umo-umo-platform-runs"
"""The claim of the chart, of a release `umo`."""
RUNS = "/runs"
TRAINER, PROMOTER = "umo-trainer", "umo-promoter"
"""Secrets with the variables of an account."""
REQUIRED = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "UMO_LEDGER",
)
OPTIONAL = {
    TRAINER: ("UMO_SIGNING_KEY", "UMO_SIGNING_PEM"),
    PROMOTER: ("UMO_VERIFY_KEY", "UMO_VERIFY_PEM"),
}
"""Reference of a key, `env:UMO_SIGNING_PEM`, and the key."""
USER = 10001
"""Of the components image."""
RUN_LABEL = "pipeline/runid"
"""Label of KFP's pods: the id of their run."""
RETRIES = 3


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a task gets."""

    cpu: str
    """CPUs asked for."""
    cpu_limit: str
    """Most CPUs."""
    memory: str
    """Memory asked for."""
    memory_limit: str
    """Most memory."""
    shared_memory: str
    """Most of /dev/shm."""
    seconds: int
    """Longest that it may take."""


LIGHT = Place(
    cpu="250m",
    cpu_limit="1",
    memory="1Gi",
    memory_limit="2Gi",
    shared_memory="256Mi",
    seconds=3600,
)
HEAVY = Place(
    cpu="2",
    cpu_limit="8",
    memory="6Gi",
    memory_limit="16Gi",
    shared_memory="2Gi",
    seconds=48 * 3600,
)
PATIENT = Place(
    cpu="100m",
    cpu_limit="1",
    memory="1Gi",
    memory_limit="2Gi",
    shared_memory="64Mi",
    seconds=8 * 24 * 3600,
)
"""Waits for a person."""


def place(task: dsl.PipelineTask, where: Place, volume: Any) -> dsl.PipelineTask:
    """Give a task the run volume and what else it needs.

    Args:
        task: Of a pipeline.
        where: Its resources and time.
        volume: Name of the claim, or a parameter with it.
    """
    task.set_cpu_request(where.cpu).set_cpu_limit(where.cpu_limit)
    task.set_memory_request(where.memory).set_memory_limit(where.memory_limit)
    kubernetes.mount_pvc(task, pvc_name=volume, mount_path=RUNS)
    kubernetes.empty_dir_mount(
        task,
        volume_name="shared-memory",
        mount_path="/dev/shm",
        medium="Memory",
        size_limit=where.shared_memory,
    )
    kubernetes.set_timeout(task, seconds=where.seconds)
    kubernetes.set_security_context(task, run_as_user=USER, run_as_group=USER, run_as_non_root=True)
    kubernetes.add_toleration(task, key="nvidia.com/gpu", operator="Exists", effect="NoSchedule")
    kubernetes.add_pod_label(task, "app.kubernetes.io/part-of", "umo-platform")
    return task


def retried(task: dsl.PipelineTask) -> dsl.PipelineTask:
    """Let a step be tried again after exit code 75, and after no other.

    KFP cannot tell exit codes apart and starts the pod again after each. The step gets to know its
    run, so that `umo.steps.journal` can end a useless attempt before it works. A pod that waits
    for somebody is not tried again: it has a time limit of its own, which ends it with 75.
    """
    kubernetes.use_field_path_as_env(task, RUN, f"metadata.labels['{RUN_LABEL}']")
    return task.set_retry(
        num_retries=RETRIES,
        backoff_duration="30s",
        backoff_factor=2.0,
        backoff_max_duration="300s",
    )


def as_account(task: dsl.PipelineTask, secret: str) -> dsl.PipelineTask:
    """Give a task the variables of an account, from its secret."""
    for names, optional in ((REQUIRED, False), (OPTIONAL[secret], True)):
        kubernetes.use_secret_as_env(
            task,
            secret_name=secret,
            secret_key_to_env={name: name for name in names},
            optional=optional,
        )
    return task
