"""`umo doctor --cluster`: can this cluster do the work, and if not, what helps."""

import os
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
    bucket: str
    """Name of its bucket."""


def look(namespace: str, release: str, bucket: str) -> list[Check]:
    """Look at everything; a failure of one look does not hide the others."""
    from umo_pipelines.kube import Kube

    try:
        cluster = Cluster(kube=Kube(namespace), release=release, bucket=bucket)
        cluster.kube.serves("apps", "v1")
    except UmoError as error:
        fix = f"{error.hint or 'log in'}: `kubectl config get-contexts`, `kubectl cluster-info`"
        return [Check(name="context", ok=False, found=error.message, fix=fix)]
    checks = [Check(name="context", ok=True, found=f"namespace {cluster.kube.namespace}")]
    for look_at in LOOKS:
        try:
            checks += look_at(cluster)
        except DeniedError as error:
            name = look_at.__name__.strip("_")
            checks.append(Check(name=name, ok=True, found=f"not looked at: {error.message}"))
        except UmoError as error:
            name = look_at.__name__.strip("_")
            fix = error.hint or "is the API server well: `kubectl get --raw /readyz?verbose`"
            checks.append(Check(name=name, ok=False, found=error.message, fix=fix))
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
        fix=f"let an operator run `{_upgrade(cluster)} --set-json "
        """'roles.engineer=[{"kind":"User","name":"YOU"}]'`""",
    )


def _definitions(cluster: Cluster) -> Iterator[Check]:
    for name, (group, version, resource, needed) in GROUPS.items():
        there = resource in cluster.kube.serves(group, version)
        yield Check(
            name=name,
            ok=there or not needed,
            found=f"{group}/{version}" if there else "not installed",
            fix="helm install kubeflow-trainer oci://ghcr.io/kubeflow/charts/kubeflow-trainer -n "
            "kubeflow-system --create-namespace"
            f"; or without it: `{_upgrade(cluster)} --set training.enabled=false`",
        )


def _nodes(cluster: Cluster) -> Iterator[Check]:
    nodes = cluster.kube.nodes()
    gpus = sum(int(node.status.allocatable.get("nvidia.com/gpu", 0)) for node in nodes)
    yield Check(
        name="nodes",
        ok=bool(nodes),
        found=f"{len(nodes)}, with {gpus} GPUs",
        fix="add one and look: `kubectl get nodes`",
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
        fix="kubectl patch storageclass NAME -p "
        f"""'{{"metadata":{{"annotations":{{"{key}":"true"}}}}}}'""",
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
        ready, pods, labels = _ready(cluster, part)
        fix = f"kubectl -n {cluster.kube.namespace} describe pods -l {labels}"
        if part == "serving" and pods:
            fix = "promote a version: without a champion nothing is ready; else " + fix
        yield Check(name=name, ok=bool(ready), found=f"{ready} of {pods} ready", fix=fix)


def _s3(cluster: Cluster) -> Iterator[Check]:
    """The S3 that the environment names, else the pod of the one in the release."""
    from umo_pipelines.prepare import has_bucket

    name, bucket = "S3", cluster.bucket
    if "AWS_ACCESS_KEY_ID" in os.environ:
        try:
            there = has_bucket(bucket)
        except UmoError as error:
            fix = "check AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: "
            fix += f"`aws s3api head-bucket --bucket {bucket}`"
            yield Check(name=name, ok=False, found=error.message, fix=fix)
            return
        yield Check(
            name=name,
            ok=there,
            found=f"bucket {bucket}" if there else f"no bucket {bucket}",
            fix=f"aws s3api create-bucket --bucket {bucket}; or `{_upgrade(cluster)}` makes it",
        )
        return
    ready, pods, labels = _ready(cluster, "storage")
    found = f"{ready} of {pods} ready"
    if not pods:
        found = "not looked at: it is not in the release, set AWS_ACCESS_KEY_ID and the like"
    fix = f"kubectl -n {cluster.kube.namespace} describe pods -l {labels}"
    yield Check(name=name, ok=not pods or bool(ready), found=found, fix=fix)


def _ready(cluster: Cluster, part: str) -> tuple[int, int, str]:
    """Ready pods of a part of the release, all of them, and the labels that find them."""
    labels = f"app.kubernetes.io/instance={cluster.release},app.kubernetes.io/component={part}"
    pods = cluster.kube.pods(labels)
    ready = [
        pod
        for pod in pods
        if any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or [])
    ]
    return len(ready), len(pods), labels


def _upgrade(cluster: Cluster) -> str:
    where = f"{cluster.release} helm/umo-platform -n {cluster.kube.namespace}"
    return f"helm upgrade {where} --reuse-values"


LOOKS: tuple[Callable[[Cluster], Iterator[Check]], ...] = (
    _rights,
    _definitions,
    _nodes,
    _storage_class,
    _secrets,
    _pods,
    _s3,
)
