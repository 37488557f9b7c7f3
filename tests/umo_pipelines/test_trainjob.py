"""TrainJobs: what is sent, against the real definition; following one, on a FAKE API server."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from kubeflow_trainer_api import models

from services.fake_api import Call, FakeApi, fake_api, kubeconfig
from services.schemas import CRDS, crd
from umo.errors import DeniedError, DiffersError, ExitCode, UmoError, UsageError
from umo_pipelines.kube import Kube
from umo_pipelines.trainjob import FINGERPRINT, Order, follow, fresh, manifest, submit

JOBS = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/umo/trainjobs"
PODS = "/api/v1/namespaces/umo/pods"


def order(**changes: Any) -> Order:
    values: dict[str, Any] = {
        "run": "Demo_1",
        "data": "/runs/demo/data/tune",
        "data_digest": "d",
        "out": "/runs/demo/train",
        "config": "/runs/demo/logs/train.json",
        "settings": {"steps": 3},
    }
    return Order(**(values | changes))


def pod(name: str, phase: str, **ended: Any) -> dict[str, Any]:
    state = {"terminated": {"exitCode": 0, **ended}} if ended else {"running": {}}
    status = {
        "name": "node",
        "ready": False,
        "restartCount": 0,
        "image": "i",
        "imageID": "i",
        "state": state,
    }
    return {
        "metadata": {"name": name, "creationTimestamp": "2026-11-22T00:00:00Z", "labels": {}},
        "status": {"phase": phase, "containerStatuses": [status] if phase != "Pending" else []},
    }


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    with fake_api({}) as fake:
        file = tmp_path / "kubeconfig"
        file.write_text(kubeconfig(fake.url))
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))
        yield fake


@pytest.mark.skipif(not CRDS.is_dir(), reason=f"no CRDs in {CRDS}")
@pytest.mark.parametrize(
    "changes", [{}, {"nodes": 4, "processes": 8}, {"secret": "umo-storage", "labels": {"a": "b"}}]
)
def test_a_job_fits_the_definition(changes: dict[str, Any]) -> None:
    job = manifest(order(**changes))
    jsonschema.validate(job, crd("trainer.kubeflow.org", "TrainJob", "v1alpha1"))
    wrong = json.loads(json.dumps(job))
    wrong["spec"]["trainer"]["nodes"] = 2
    with pytest.raises(jsonschema.ValidationError, match="nodes"):
        jsonschema.validate(wrong, crd("trainer.kubeflow.org", "TrainJob", "v1alpha1"))


def test_the_sdk_keeps_every_field() -> None:
    job = manifest(order(nodes=2, processes=4, secret="umo-storage"))
    model = models.TrainerV1alpha1TrainJob.from_dict(job)
    assert model
    assert json.loads(model.to_json()) == job


def test_one_process_ends_with_its_own_exit_code() -> None:
    assert order().command()[:2] == ["umo", "train"]
    assert order(nodes=2).command()[:4] == ["torchrun", "--no-python", "umo", "train"]


def test_a_name_is_of_what_is_computed() -> None:
    assert order().name == order(nodes=4, processes=8).name
    assert order().name != order(settings={"steps": 4}).name
    assert order().name != order(data_digest="e").name
    long = order(run="Ünïcode run " * 20).name
    assert len(long) <= 40
    assert long.replace("-", "").isascii()


def test_a_name_is_one_of_kubernetes() -> None:
    import re

    for run in ("---", "A_b.c", "Ü", "x" * 90):
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", order(run=run).name)


def test_wrong_numbers() -> None:
    with pytest.raises(UsageError, match="at least one node"):
        order(nodes=0)


def test_submitting_twice_attaches(cluster: FakeApi) -> None:
    stored: dict[str, Any] = {}

    def create(call: Call) -> Any:
        if stored:
            return 409
        stored.update(call.body)
        return call.body

    cluster.answers |= {f"POST {JOBS}": create, f"GET {JOBS}/.+": lambda call: stored}
    kube = Kube()
    assert submit(kube, order())
    assert not submit(kube, order())
    assert stored == manifest(order())
    stored["metadata"]["annotations"][FINGERPRINT] = "another"
    with pytest.raises(DiffersError, match="computes another, asked for is"):
        submit(kube, order())


def test_without_rights(cluster: FakeApi) -> None:
    cluster.answers[f"POST {JOBS}"] = 403
    with pytest.raises(DeniedError, match="does not let you create the TrainJob") as caught:
        submit(Kube(), order())
    assert "planted-token" not in str(caught.value)


def follow_states(cluster: FakeApi, states: list[Any], pods: list[Any], log: str = "") -> list[str]:
    left = iter(states)
    last = [states[-1]]

    def job(call: Call) -> Any:
        state = next(left, last[0])
        if isinstance(state, int):
            return state
        conditions = [{"type": state, "status": "True", "message": "why"}] if state else []
        return {"metadata": {"name": "x"}, "status": {"conditions": conditions}}

    cluster.answers |= {
        f"GET {JOBS}/.+": job,
        f"GET {PODS}": {"kind": "PodList", "apiVersion": "v1", "items": pods},
        f"GET {PODS}/.+/log": log,
        "GET /api/v1/namespaces/umo/events": {
            "items": [
                {
                    "metadata": {"name": "e"},
                    "involvedObject": {},
                    "reason": "FailedScheduling",
                    "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
                }
            ]
        },
    }
    said: list[str] = []
    follow(Kube(), "x", say=said.append, sleep=lambda seconds: None)
    return said


def test_following_to_the_end(cluster: FakeApi) -> None:
    said = follow_states(cluster, ["", 503, "", "Complete"], [pod("n", "Running")], "one\ntwo\n")
    assert said[:2] == ["one", "two"]
    assert said.count("one") == 1
    assert any("503" in line for line in said)


def test_what_keeps_it_waiting(cluster: FakeApi) -> None:
    said = follow_states(cluster, ["", "", "Complete"], [pod("n", "Pending")])
    assert said == [
        "waiting: FailedScheduling: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    ]


@pytest.mark.parametrize(
    ("ended", "said", "code"),
    [
        ({"exitCode": 137, "reason": "OOMKilled"}, "n ran out of memory", ExitCode.FAILED),
        ({"exitCode": 2, "reason": "Error"}, "n ended with exit code 2", ExitCode.USAGE),
        ({"exitCode": 75, "reason": "Error"}, "exit code 75", ExitCode.INTERRUPTED),
    ],
)
def test_why_it_failed(cluster: FakeApi, ended: dict[str, Any], said: str, code: int) -> None:
    with pytest.raises(UmoError, match=said) as caught:
        follow_states(cluster, ["Failed"], [pod("n", "Failed", **ended)], "boom")
    assert caught.value.exit_code == code


def test_only_new_lines_of_a_log_are_told() -> None:
    assert fresh([], ["a"]) == ["a"]
    assert fresh(["a", "b"], ["a", "b"]) == []
    assert fresh(["a", "b"], ["b", "c"]) == ["c"]
    assert fresh(["a"], ["x", "y"]) == ["x", "y"]


def test_the_runtime_of_the_chart_is_the_usual_one() -> None:
    from services.helm_chart import rendered

    (runtime,) = [one for one in rendered("minimal") if one["kind"] == "ClusterTrainingRuntime"]
    assert runtime["metadata"]["name"] == order().runtime
    (job,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    policy = job["template"]["spec"]["podFailurePolicy"]["rules"]
    ignored = [rule.get("onExitCodes", {}).get("values") for rule in policy[:2]]
    assert ignored == [None, [int(ExitCode.INTERRUPTED)]]
    assert policy[2]["onExitCodes"]["values"] == [2, 3, 4, 5]
    assert yaml.safe_dump(job).count("planted") == 0
