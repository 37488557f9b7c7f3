"""The client of Kubeflow Pipelines against a FAKE server that answers as its OpenAPI says."""

import json
from collections.abc import Iterator
from typing import Any

import kfp_server_api
import pytest

from services.fake_api import Call, FakeApi, fake_api
from umo.errors import DeniedError, ExitCode, NotFoundError, UmoError, UsageError
from umo_pipelines.remote import Package, Remote

API = "/apis/v2beta1"
RUN = {
    "run_id": "r1",
    "display_name": "training first",
    "state": "FAILED",
    "created_at": "2026-11-22T00:00:00Z",
    "finished_at": "2026-11-22T01:00:00Z",
    "runtime_config": {"parameters": {"out": "/runs/first", "model": "umo-embedded"}},
    "run_details": {
        "task_details": [
            {
                "display_name": "train",
                "state": "FAILED",
                "error": {"code": 1, "message": "exit code 2"},
                "child_tasks": [{"pod_name": "train-pod"}],
            }
        ]
    },
}
EXPERIMENT = {"experiment_id": "e1", "display_name": "umo"}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    answers: dict[str, Any] = {
        f"GET {API}/healthz": {"multi_user": False},
        f"GET {API}/experiments": {"experiments": [EXPERIMENT], "total_size": 1},
        f"GET {API}/experiments/e1": EXPERIMENT,
        f"POST {API}/experiments": EXPERIMENT,
        f"POST {API}/runs": lambda call: {**call.body, "run_id": "r1"},
        f"GET {API}/runs": {"runs": [RUN, {**RUN, "run_id": "r0", "state": "SUCCEEDED"}]},
        f"GET {API}/runs/r.": lambda call: {**RUN, "run_id": call.path[-2:]},
        f"POST {API}/runs/r1:terminate": {},
        f"POST {API}/recurringruns": lambda call: {**call.body, "recurring_run_id": "s1"},
    }
    with fake_api(answers) as server:
        monkeypatch.setenv("UMO_PIPELINES", server.url)
        monkeypatch.setenv("UMO_PIPELINES_TOKEN", "planted-token")
        yield server


VALUES = {
    "out": "/runs/first",
    "model": "m",
    "version": 1,
    "policy": "{}",
    "base": "embedded",
    "hours": 1.0,
    "minutes": 5.0,
}
"""Parameters of a promotion."""


@pytest.fixture(scope="module")
def package() -> Package:
    return Package.compile("promotion", image="registry/components:1")


def fits(body: Any, kind: str) -> None:
    """Every field that was sent is one of the published model."""
    known = set(getattr(kfp_server_api, kind).attribute_map.values())
    assert set(body) <= known, set(body) - known


def test_a_run_is_submitted(fake: FakeApi, package: Package) -> None:
    run = Remote().submit(package, VALUES, name="promotion first", account="umo")
    assert run == "r1"
    (call,) = fake.made("POST", "/runs$")
    fits(call.body, "V2beta1Run")
    assert call.body["display_name"] == "promotion first"
    assert call.body["service_account"] == "umo"
    assert call.body["runtime_config"]["parameters"]["version"] == 1
    assert "registry/components:1" in json.dumps(call.body["pipeline_spec"])
    assert "umo-promoter" in json.dumps(call.body["pipeline_spec"])
    assert call.headers["authorization"] == "Bearer planted-token"
    assert "planted-token" not in json.dumps(call.body)


def test_a_schedule(fake: FakeApi, package: Package) -> None:
    made = Remote().schedule(package, VALUES, name="weekly", cron="0 0 3 * * 0")
    assert made == "s1"
    (call,) = fake.made("POST", "/recurringruns$")
    fits(call.body, "V2beta1RecurringRun")
    assert call.body["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * 0"
    assert int(call.body["max_concurrency"]) == 1
    assert call.body["no_catchup"] is True


def test_looking_and_cancelling(fake: FakeApi) -> None:
    remote = Remote()
    assert [run["id"] for run in remote.runs(5)] == ["r1", "r0"]
    shown = remote.run("r1")
    assert shown["tasks"] == [
        {"name": "train", "state": "FAILED", "error": "exit code 2", "pod": "train-pod"}
    ]
    last = remote.last("training")
    assert last
    assert last["id"] == "r0"
    assert remote.last("promotion") is None
    remote.cancel("r1")
    assert fake.made("POST", "r1:terminate$")


def test_refusals(fake: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFoundError, match="cannot find the run x"):
        Remote().run("x")

    def denied(call: Call) -> int:
        return 403

    fake.answers[f"GET {API}/runs"] = denied
    with pytest.raises(DeniedError, match="does not let you list the runs"):
        Remote().runs(1)
    monkeypatch.setenv("UMO_PIPELINES", "localhost:8888")
    with pytest.raises(UsageError, match="no address"):
        Remote()


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_api({}) as gone:
        url = gone.url
    monkeypatch.setenv("UMO_PIPELINES", url)
    with pytest.raises(UmoError, match="does not answer") as caught:
        Remote().runs(1)
    assert caught.value.exit_code == ExitCode.INTERRUPTED


def test_commands(fake: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    from umo_cli.main import execute

    assert execute(["runs", "list"]) == ExitCode.OK
    assert "training first" in capsys.readouterr().out
    assert execute(["runs", "show", "r1", "--output", "json"]) == ExitCode.FAILED
    shown = json.loads(capsys.readouterr().out)
    assert shown["next"] == "umo runs logs r1"
    assert execute(["runs", "cancel", "r1"]) == ExitCode.OK
    capsys.readouterr()
    arguments = ["runs", "submit", "training", "--out", "/runs/first"]
    assert execute([*arguments, "--dry-run", "--output", "json"]) == ExitCode.OK
    plan = json.loads(capsys.readouterr().out)
    assert plan["last"] == "r0"
    assert "train" in plan["changed"]
    assert execute([*arguments, "--nodes", "2", "--output", "json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["run"] == "r1"
    job = json.loads(fake.made("POST", "/runs$")[-1].body["runtime_config"]["parameters"]["job"])
    assert job["nodes"] == 2
    assert execute(["runs", "submit", "training", "--out", "here"]) == ExitCode.USAGE
    assert "is not on the volume" in capsys.readouterr().err
    assert execute(["runs", "schedule", "training", "* * *", "--out", "/runs/x"]) == ExitCode.USAGE


def test_no_secret_is_shown_or_sent(
    fake: FakeApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of the environment; a server that is away has a password in its address."""
    from umo_cli.main import execute

    secrets = {
        "MLFLOW_TRACKING_PASSWORD": "planted-1",
        "UMO_LEDGER": "postgresql://umo:planted-2@localhost/ledger",
        "UMO_SIGNING_PEM": "planted-3",
        "AWS_SECRET_ACCESS_KEY": "planted-4",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    submit = ["runs", "submit", "training", "--out", "/runs/first"]
    for arguments, code in (
        ([*submit, "--dry-run"], ExitCode.OK),
        ([*submit, "--nodes", "2"], ExitCode.OK),
        (["runs", "schedule", "training", "0 0 3 * * 0", "--out", "/runs/x"], ExitCode.OK),
        (["runs", "list"], ExitCode.OK),
        (["runs", "show", "r1"], ExitCode.FAILED),
        (["runs", "show", "x"], ExitCode.NOT_FOUND),
    ):
        assert execute(arguments) == code
    with fake_api({}) as gone:
        address = gone.url.replace("http://", "http://umo:planted-5@")
    assert execute(["runs", "list", "--host", address]) == ExitCode.INTERRUPTED
    assert execute(["runs", "list", "--host", address.removeprefix("http://")]) == ExitCode.USAGE
    said = capsys.readouterr()
    assert "planted-" not in said.out + said.err
    assert fake.made("POST", "/runs$")
    for call in fake.calls:
        assert "planted-" not in call.path + json.dumps([call.query, call.body])
