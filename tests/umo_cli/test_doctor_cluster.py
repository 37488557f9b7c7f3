"""`umo doctor --cluster`: what each check finds and how it is mended, on a FAKE API server.

The S3 is a real one.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from services.fake_api import Call, FakeApi, fake_api, kubeconfig
from services.processes import free_ports
from services.s3 import S3
from umo.errors import ExitCode
from umo_cli.doctor_cluster import GROUPS, RIGHTS, SECRETS
from umo_cli.main import execute

NODES, CLASSES = "GET /api/v1/nodes", "GET /apis/storage.k8s.io/v1/storageclasses"
SECRET, PODS = "GET /api/v1/namespaces/umo/secrets/.+", "GET /api/v1/namespaces/umo/pods"
REVIEW = "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
DEFAULT = "storageclass.kubernetes.io/is-default-class"
CHECKS = [
    "context",
    "rights",
    *GROUPS,
    "nodes",
    "storage class",
    "secrets",
    "MLflow",
    "Triton",
    "S3",
]


def resources(*names: str) -> dict[str, Any]:
    rest = {"kind": "K", "namespaced": True, "singularName": "", "verbs": ["get"]}
    return {"groupVersion": "g/v", "resources": [{"name": name, **rest} for name in names]}


def secret(call: Call) -> Any:
    keys = SECRETS[call.path.rpartition("/")[2]]
    return {"metadata": {"name": "s"}, "data": dict.fromkeys(keys, "cGxhbnRlZA==")}


def listed(*items: Any) -> dict[str, Any]:
    return {"items": list(items)}


def pod(ready: bool) -> dict[str, Any]:
    condition = {"type": "Ready", "status": str(ready)}
    metadata = {"name": "p", "creationTimestamp": "2026-11-22T00:00:00Z"}
    return {"metadata": metadata, "status": {"phase": "Running", "conditions": [condition]}}


def reviewed(*denied: str) -> Any:
    def answer(call: Call) -> Any:
        wanted = call.body["spec"]["resourceAttributes"]
        return {**call.body, "status": {"allowed": wanted["verb"] not in denied}}

    return answer


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    """A cluster where all is well; its S3 is a pod of the release."""
    storage = {"metadata": {"name": "fast", "annotations": {DEFAULT: "true"}}, "provisioner": "p"}
    answers: dict[str, Any] = {
        "GET /apis/apps/v1": resources("deployments"),
        **{f"GET /apis/{g}/{v}": resources(resource) for g, v, resource, _ in GROUPS.values()},
        REVIEW: reviewed(),
        NODES: listed({"metadata": {}, "status": {"allocatable": {"nvidia.com/gpu": "2"}}}),
        CLASSES: listed(storage),
        SECRET: secret,
        PODS: listed(pod(True)),
    }
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    with fake_api(answers) as server:
        file = tmp_path / "kubeconfig"
        file.write_text(kubeconfig(server.url))
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))
        yield server


Printed = pytest.CaptureFixture[str]


def doctor(printed: Printed, *arguments: str) -> dict[str, dict[str, Any]]:
    """Checks by name; the exit code is that of their outcome, and each fix is one line."""
    printed.readouterr()
    code = execute(["doctor", "--cluster", "--output", "json", *arguments])
    said = printed.readouterr()
    found = json.loads(said.out)
    checks = {check["name"]: check for check in found["checks"]}
    failed = [check for check in checks.values() if not check["ok"]]
    assert found["ok"] == (not failed)
    assert code == (ExitCode.FAILED if failed else ExitCode.OK)
    for check in failed:
        assert "\n" not in check["found"] + check["fix"]
    assert "planted" not in said.out + said.err
    return checks


def test_all_is_well(fake: FakeApi, capsys: Printed) -> None:
    checks = doctor(capsys)
    assert list(checks) == CHECKS
    assert all(check["ok"] for check in checks.values())
    assert checks["nodes"]["found"] == "1, with 2 GPUs"
    assert checks["storage class"]["found"] == "fast"
    asked = [call.body["spec"]["resourceAttributes"] for call in fake.made("POST", "reviews$")]
    assert [(one["verb"], one["namespace"]) for one in asked] == [
        (verb, "umo") for verb, _, _ in RIGHTS
    ]
    labels = [call.query["labelSelector"][0] for call in fake.made("GET", "/pods$")]
    assert [label.partition("component=")[2] for label in labels] == [
        "mlflow",
        "serving",
        "storage",
    ]
    assert all("instance=umo" in label for label in labels)


@pytest.mark.parametrize(
    ("answer", "check", "found", "fix"),
    [
        ({REVIEW: reviewed("create")}, "rights", "missing: create trainjobs", "roles.engineer="),
        (
            {"GET /apis/trainer.kubeflow.org/v1alpha1": 404},
            "Kubeflow Trainer",
            "not installed",
            "helm install kubeflow-trainer",
        ),
        ({NODES: listed()}, "nodes", "0, with 0 GPUs", "kubectl get nodes"),
        ({NODES: 500}, "nodes", "cannot list the nodes", "kubectl get --raw /readyz"),
        ({CLASSES: listed()}, "storage class", "none is", f'{{"{DEFAULT}":"true"}}'),
        ({SECRET: 404}, "secrets", "no umo-mlflow, no umo-trainer", "helm/secrets.sh umo umo"),
        (
            {SECRET: {"metadata": {}, "data": {"UMO_LEDGER": "eA=="}}},
            "secrets",
            "umo-storage has no AWS_SECRET_ACCESS_KEY",
            "helm/secrets.sh umo umo",
        ),
        ({PODS: listed()}, "MLflow", "0 of 0 ready", "kubectl -n umo describe pods -l app"),
        ({PODS: listed(pod(False))}, "Triton", "0 of 1 ready", "promote a version"),
        ({PODS: listed(pod(False))}, "S3", "0 of 1 ready", "component=storage"),
    ],
)
def test_what_is_wrong_is_named_with_the_fix(
    fake: FakeApi, capsys: Printed, answer: dict[str, Any], check: str, found: str, fix: str
) -> None:
    fake.answers |= answer
    checks = doctor(capsys)
    assert not checks[check]["ok"]
    assert found in checks[check]["found"]
    assert fix in checks[check]["fix"]
    execute(["doctor", "--cluster"])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith(f"{check} ") and fix in line]


def test_what_need_not_be_there(fake: FakeApi, capsys: Printed) -> None:
    """A CPU cluster without gateway, KEDA and Prometheus, whose S3 is somebody else's."""
    for group, version, _, needed in GROUPS.values():
        if not needed:
            fake.answers[f"GET /apis/{group}/{version}"] = 404
    fake.answers[NODES] = listed({"metadata": {}, "status": {"allocatable": {}}})

    def none_of_storage(call: Call) -> Any:
        elsewhere = "component=storage" in call.query["labelSelector"][0]
        return listed() if elsewhere else listed(pod(True))

    fake.answers[PODS] = none_of_storage
    checks = doctor(capsys)
    assert all(check["ok"] for check in checks.values())
    assert checks["KEDA"]["found"] == "not installed"
    assert "AWS_ACCESS_KEY_ID" in checks["S3"]["found"]


def test_what_may_not_be_looked_at_is_no_fault(fake: FakeApi, capsys: Printed) -> None:
    fake.answers |= {NODES: 403, SECRET: 403}
    checks = doctor(capsys)
    assert checks["nodes"]["found"].startswith("not looked at: the cluster does not let you list")
    assert checks["secrets"]["found"].startswith("not looked at")
    assert checks["S3"]["ok"]


@pytest.mark.parametrize(("status", "said"), [(401, "does not let you"), (500, "500")])
def test_a_cluster_that_refuses(fake: FakeApi, capsys: Printed, status: int, said: str) -> None:
    fake.answers["GET /apis/apps/v1"] = status
    checks = doctor(capsys)
    assert list(checks) == ["context"]
    assert said in checks["context"]["found"]
    assert "kubectl cluster-info" in checks["context"]["fix"]


def test_no_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed, fake: FakeApi
) -> None:
    file = tmp_path / "gone"
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))
    fix = doctor(capsys)["context"]["fix"]
    assert "set KUBECONFIG" in fix
    assert "kubectl config get-contexts" in fix


def test_the_s3_of_the_environment(
    fake: FakeApi, s3: S3, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    """A real S3: its bucket is there, is not, the key is wrong, nobody answers."""
    for name, value in {**s3.environment, "AWS_MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint)
    s3.create("of-doctor")
    there = doctor(capsys, "--bucket", "of-doctor")["S3"]
    assert (there["ok"], there["found"]) == (True, "bucket of-doctor")
    missing = doctor(capsys, "--bucket", "nowhere")["S3"]
    assert (missing["ok"], missing["found"]) == (False, "no bucket nowhere")
    assert "create-bucket --bucket nowhere" in missing["fix"]

    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-key")
    refused = doctor(capsys, "--bucket", "of-doctor")["S3"]
    assert "refuses the bucket of-doctor" in refused["found"]
    assert "head-bucket --bucket of-doctor" in refused["fix"]

    (closed,) = free_ports(1)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{closed}")
    away = doctor(capsys, "--bucket", "of-doctor")["S3"]
    assert "cannot reach the S3" in away["found"]
    assert "AWS_ENDPOINT_URL_S3" in away["fix"]
