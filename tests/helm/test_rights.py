"""The chart grants what the code and the documented commands need, and nothing else."""

import ast
import re
from pathlib import Path

from services.helm_chart import ROOT, Manifest, rendered

RESOURCES = {
    "namespaced_pod_log": ("", "pods/log"),
    "namespaced_pod": ("", "pods"),
    "namespaced_event": ("", "events"),
    "namespaced_secret": ("", "secrets"),
    "node": ("", "nodes"),
    "storage_class": ("storage.k8s.io", "storageclasses"),
    "namespaced_custom_object": ("trainer.kubeflow.org", "trainjobs"),
}
VERBS = {"read": "get"}
CLIENTS = ("_core", "_custom", "_storage", "_authorization")
FREE = {"get_api_resources", "create_self_subject_access_review"}
"""Everybody who is known may discover and ask for their own rights."""
KUBECTL = {
    r"kubectl .*rollout restart deployment": {("apps", "deployments", "patch")},
    r"kubectl .*rollout status deployment": {
        ("apps", "deployments", verb) for verb in ("get", "list", "watch")
    },
    r"kubectl .*scale deployment": {("apps", "deployments/scale", "patch")},
    r"kubectl .*create job .*--from=cronjob/": {
        ("batch", "cronjobs", "get"),
        ("batch", "jobs", "create"),
    },
}
Right = tuple[str, str, str]


def called() -> set[Right]:
    """Calls of the Kubernetes client in our code."""
    found: set[Right] = set()
    for file in (ROOT / "pipelines").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Attribute) or node.attr in FREE:
                continue
            if getattr(node.value, "attr", "") in CLIENTS:
                verb, _, rest = node.attr.partition("_")
                group, resource = RESOURCES[rest]
                found.add((group, resource, VERBS.get(verb, verb)))
    return found


def documented() -> set[Right]:
    """Commands of kubectl that the operations page tells operators to give."""
    text = (ROOT / "docs" / "operations.md").read_text()
    return {
        right for pattern, rights in KUBECTL.items() if re.search(pattern, text) for right in rights
    }


def granted(manifests: list[Manifest]) -> set[Right]:
    return {
        (group, resource, verb)
        for one in manifests
        if one["kind"] in ("Role", "ClusterRole")
        for rule in one["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_every_call_is_granted_and_every_right_is_used() -> None:
    used = called() | documented()
    rights = granted(rendered("ha"))
    assert rights == used


def test_only_the_submitter_writes_jobs_for_others(manifests: list[Manifest]) -> None:
    for one in manifests:
        if one["kind"] in ("Role", "ClusterRole"):
            for rule in one["rules"]:
                assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
                if "secrets" in rule["resources"]:
                    assert rule["verbs"] == ["get"]
                    assert rule["resourceNames"]


def test_no_kubernetes_client_outside_of_one_module() -> None:
    for folder in ("components", "pipelines", "serving", "cli"):
        for file in (ROOT / folder).rglob("*.py"):
            text = file.read_text()
            if file != Path(ROOT / "pipelines/umo_pipelines/kube.py"):
                assert not re.search(r"^\s*(from|import) kubernetes\b", text, re.M), file


SECRET = "planted-secret-4711"


def test_a_planted_secret_is_never_rendered() -> None:
    """Values have no place for one: the schema refuses it, and says where."""
    from services.helm_chart import helm, template

    for key in ("mlflow.password", "secrets.password", "postgres.password", "storage.secretKey"):
        done = template(helm(4), "--set", f"{key}={SECRET}", check=False)
        assert done.returncode
        assert key.rpartition(".")[2] in done.stderr
        assert SECRET not in done.stdout + done.stderr


def test_nothing_rendered_is_a_secret(manifests: list[Manifest]) -> None:
    for one in manifests:
        assert one["kind"] != "Secret"
        text = str(one)
        assert not re.search(r"(password|secret[-_]?key)['\"]?: ['\"][^'\"{]{8,}", text, re.I), one[
            "kind"
        ]
