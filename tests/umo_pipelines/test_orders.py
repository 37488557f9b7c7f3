"""What people are told of a run whose tasks wait or failed, on a FAKE API server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.fake_api import FakeApi, fake_api, kubeconfig
from umo_pipelines import orders
from umo_pipelines.artifacts import ending
from umo_pipelines.placement import RUN_LABEL

PODS = "/api/v1/namespaces/umo/pods"


def pod(name: str, phase: str, **state: Any) -> dict[str, Any]:
    status = {
        "name": "main",
        "ready": False,
        "restartCount": 0,
        "image": "i",
        "imageID": "i",
        "state": state,
    }
    return {
        "metadata": {"name": name, "creationTimestamp": "2026-11-22T00:00:00Z"},
        "status": {"phase": phase, "containerStatuses": [status] if state else []},
    }


def run(**pods: tuple[str, str]) -> dict[str, Any]:
    """A run with a task for each argument, its state and pod."""
    tasks = [
        {"name": name, "state": state, "error": "", "pod": on} for name, (state, on) in pods.items()
    ]
    return {"id": "r1", "name": "training first", "error": "", "tasks": tasks}


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    unschedulable = {
        "metadata": {"name": "e"},
        "involvedObject": {},
        "reason": "FailedScheduling",
        "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
    }
    killed = {"exitCode": 137, "reason": "OOMKilled"}
    answers: dict[str, Any] = {
        f"GET {PODS}": {
            "items": [
                pod("a", "Pending"),
                pod("b", "Failed", terminated=killed),
                pod("c", "Failed", terminated={"exitCode": 1}),
            ]
        },
        f"GET {PODS}/.+/log": "one\ntwo\n",
        "GET /api/v1/namespaces/umo/events": {"items": [unschedulable]},
    }
    with fake_api(answers) as server:
        file = tmp_path / "kubeconfig"
        file.write_text(kubeconfig(server.url))
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))
        yield server


def test_why_tasks_wait_or_failed(fake: FakeApi) -> None:
    """By the pods of this run alone; what succeeded is not asked about."""
    told = orders.why(
        run(train=("PENDING", "a"), evaluate=("FAILED", "b"), good=("SUCCEEDED", "c"))
    )
    assert told == [
        "train waits: FailedScheduling: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
        "evaluate: b ran out of memory; raise training.resources",
        "  one",
        "  two",
    ]
    (call,) = fake.made("GET", "/pods$")
    assert call.query["labelSelector"] == [f"{RUN_LABEL}=r1"]


def test_a_cluster_that_may_not_be_asked(fake: FakeApi) -> None:
    fake.answers[f"GET {PODS}"] = 403
    (line,) = orders.why(run(train=("FAILED", "b")))
    assert line.startswith("the cluster cannot be asked why: the cluster does not let you list")
    assert orders.why(run(train=("SUCCEEDED", "b"))) == []


def test_the_end_of_a_run_names_what_failed(tmp_path: Path) -> None:
    """Though other tasks went on, and not what failed and then succeeded."""
    assert ending(str(tmp_path)) == "no step began"
    failed = {"event": "failed", "message": "a is not b", "hint": "make it", "exit_code": 5}
    events = [
        {"step": "synthesize tune 1/2", **failed, "exit_code": 75},
        {"step": "synthesize tune 1/2", "event": "finished"},
        {"step": "synthesize tune 2/2", **failed},
        {"step": "synthesize held-out", "event": "finished"},
    ]
    (tmp_path / "logs").mkdir()
    lines = [json.dumps(event) for event in events]
    (tmp_path / "logs" / "journal.jsonl").write_text("\n".join([*lines, '{"step": "tr']))
    told = ending(str(tmp_path))
    assert told == "synthesize tune 2/2: failed: a is not b; make it (exit code 5)"
