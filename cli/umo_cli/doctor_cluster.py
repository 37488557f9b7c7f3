"""`umo doctor --cluster`: can this cluster do the work, and if not, what helps."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from umo.errors import DeniedError, NotFoundError, UmoError
from umo_cli.doctor import Check

if TYPE_CHECKING:
    from umo_pipelines.kube import Kube

GROUPS = {
    "Kubeflow Trainer": ("trainer.kubeflow.org", "v1alpha1", "trainjobs", True),
    "Gateway API": ("gateway.networking.k8s.io", "v1", "httproutes", False),
    "KEDA": ("keda.sh", "v1alpha1", "scaledobjects", False),
    "Prometheus operator": ("monitoring.coreos.com", "v1", "servicemonitors", False),
}
"""Group, version, resource, and whether it is needed."""
RIGHTS = (
    ("create", "trainer.kubeflow.org", "trainjobs"),
    ("get", "trainer.kubeflow.org", "trainjobs"),
    ("list", "", "pods"),
    ("get", "", "pods/log"),
)
"""What an engineer does."""
SECRETS = {
    "umo-mlflow": {"backend-store-uri", "auth-database-uri", "auth.ini", "admin-password"},
    "umo-trainer": {"MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_PASSWORD", "UMO_LEDGER"},
    "umo-promoter": {"MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_PASSWORD", "UMO_LEDGER"},
    "umo-deployer": {"MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_PASSWORD", "UMO_LEDGER"},
    "umo-ledger": {"UMO_LEDGER"},
    "umo-storage": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"},
}
PARTS = {"mlflow": "MLflow", "serving": "Triton"}


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What is looked at."""

    kube: "Kube"
    """The namespace."""
    release: str
    """Name of the release."""


def look(namespace: str, release: str) -> list[Check]:
    """Look at everything; a failure of one look does not hide the others."""
    from umo_pipelines.kube import Kube

    try:
        cluster = Cluster(kube=Kube(namespace), release=release)
        cluster.kube.serves("apps", "v1")
    except UmoError as error:
        return [Check(name="context", ok=False, found=error.message, fix=error.hint)]
    checks = [Check(name="context", ok=True, found=f"namespace {cluster.kube.namespace}")]
    for look_at in LOOKS:
        try:
            checks += look_at(cluster)
        except DeniedError as error:
            name = look_at.__name__.strip("_")
            checks.append(Check(name=name, ok=True, found=f"not looked at: {error.message}"))
        except UmoError as error:
            name = look_at.__name__.strip("_")
            checks.append(Check(name=name, ok=False, found=error.message, fix=error.hint))
    return checks


def _rights(cluster: Cluster) -> Iterator[Check]:
    missing = [
        f"{verb} {resource}"
        for verb, group, resource in RIGHTS
        if not cluster.kube.may(verb, group, resource)
    ]
    yield Check(
        name="rights",
        ok=not missing,
        found=f"missing: {', '.join(missing)}" if missing else "those of an engineer",
        fix="ask for the chart's role engineer: values roles.engineer",
    )


def _definitions(cluster: Cluster) -> Iterator[Check]:
    for name, (group, version, resource, needed) in GROUPS.items():
        there = resource in cluster.kube.serves(group, version)
        yield Check(
            name=name,
            ok=there or not needed,
            found=f"{group}/{version}" if there else "not installed",
            fix=f"install {name}, or set training.enabled=false",
        )


def _nodes(cluster: Cluster) -> Iterator[Check]:
    nodes = cluster.kube.nodes()
    gpus = sum(int(node.status.allocatable.get("nvidia.com/gpu", 0)) for node in nodes)
    yield Check(
        name="nodes", ok=bool(nodes), found=f"{len(nodes)}, with {gpus} GPUs", fix="add a node"
    )


def _storage_class(cluster: Cluster) -> Iterator[Check]:
    key = "storageclass.kubernetes.io/is-default-class"
    usual = [
        one.metadata.name
        for one in cluster.kube.storage_classes()
        if (one.metadata.annotations or {}).get(key) == "true"
    ]
    yield Check(
        name="storage class",
        ok=bool(usual),
        found=", ".join(usual) or "none is the default",
        fix="mark one as the default, or name it in values ...storageClass",
    )


def _secrets(cluster: Cluster) -> Iterator[Check]:
    faults = []
    for name, keys in SECRETS.items():
        try:
            missing = keys - cluster.kube.secret_keys(name)
        except NotFoundError:
            faults.append(f"no {name}")
            continue
        faults += [f"{name} has no {key}" for key in sorted(missing)]
    yield Check(
        name="secrets",
        ok=not faults,
        found=", ".join(faults) or f"all {len(SECRETS)}",
        fix=f"helm/secrets.sh {cluster.kube.namespace} {cluster.release}",
    )


def _pods(cluster: Cluster) -> Iterator[Check]:
    for part, name in PARTS.items():
        labels = f"app.kubernetes.io/instance={cluster.release},app.kubernetes.io/component={part}"
        pods = cluster.kube.pods(labels)
        ready = [
            pod
            for pod in pods
            if any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or [])
        ]
        fix = f"kubectl -n {cluster.kube.namespace} describe pods -l {labels}"
        if part == "serving" and pods:
            fix = "promote a version: without a champion nothing is ready; else " + fix
        yield Check(name=name, ok=bool(ready), found=f"{len(ready)} of {len(pods)} ready", fix=fix)


LOOKS: tuple[Callable[[Cluster], Iterator[Check]], ...] = (
    _rights,
    _definitions,
    _nodes,
    _storage_class,
    _secrets,
    _pods,
)
