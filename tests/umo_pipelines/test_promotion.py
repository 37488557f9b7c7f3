from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from umo_pipelines.promotion import PROMOTER, REQUIRED, TRAINER, build

TASKS = {"submit": TRAINER, "wait": TRAINER, "promote": PROMOTER, "deploy": PROMOTER}


@pytest.fixture(scope="module")
def promotion() -> Any:
    return build()


@pytest.fixture(scope="module")
def spec(promotion: Any) -> dict[str, Any]:
    plain: dict[str, Any] = MessageToDict(promotion.pipeline_spec)
    return plain


@pytest.fixture(scope="module")
def tasks(spec: dict[str, Any]) -> dict[str, Any]:
    """Every task, those under a condition too."""
    dags = [spec["root"], *(part for part in spec["components"].values() if "dag" in part)]
    found = {name: task for part in dags for name, task in part["dag"]["tasks"].items()}
    return {name: task for name, task in found.items() if not name.startswith("condition")}


@pytest.fixture(scope="module")
def executors(promotion: Any) -> dict[str, Any]:
    plain = MessageToDict(promotion.platform_spec)
    found: dict[str, Any] = plain["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return found


def test_promotion_waits_for_the_approval_of_the_report_that_was_submitted(
    spec: dict[str, Any], tasks: dict[str, Any]
) -> None:
    assert tasks.keys() == TASKS.keys()
    report = tasks["wait"]["inputs"]["parameters"]["report"]
    assert report["taskOutputParameter"]["producerTask"] == "submit"
    assert "wait" in tasks["promote"]["dependentTasks"]
    served = spec["root"]["dag"]["tasks"]["condition-1"]
    assert served["dependentTasks"] == ["promote"]
    assert "minutes'] > " in served["triggerPolicy"]["condition"]


def test_no_task_believes_what_an_earlier_run_found(tasks: dict[str, Any]) -> None:
    assert [task["cachingOptions"] for task in tasks.values()] == [{}] * len(TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_each_task_has_the_credentials_of_one_account(task: str, executors: dict[str, Any]) -> None:
    secrets = executors[f"exec-{task}"]["secretAsEnv"]
    assert {secret["secretName"] for secret in secrets} == {TASKS[task]}
    required = next(secret for secret in secrets if not secret["optional"])
    assert [pair["envVar"] for pair in required["keyToEnv"]] == list(REQUIRED)
