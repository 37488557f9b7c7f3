"""The compiled pipelines are those of the code, and say what they must."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from umo.steps import journal
from umo_pipelines.local import PIPELINES
from umo_pipelines.remote import Package

ROOT = Path(__file__).parents[2]
COMPILED = ROOT / "pipelines" / "compiled"
PLANTED = "planted-secret-4711"
STEPS = {
    f"exec-{name}"
    for name in (
        *("synthesize", "train", "evaluate", "register"),
        *("submit", "promote"),
        *("work", "collect"),
    )
}
"""Executors whose tasks may be tried again."""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled with a secret in every variable that could leak into it."""
    import os

    folder = tmp_path_factory.mktemp("compiled")
    names = ("MLFLOW_TRACKING_PASSWORD", "UMO_LEDGER", "UMO_SIGNING_PEM", "AWS_SECRET_ACCESS_KEY")
    subprocess.run(
        [sys.executable, "-m", "umo_pipelines.compiled", str(folder)],
        check=True,
        env={**os.environ, **dict.fromkeys(names, PLANTED)},
    )
    return folder


@pytest.mark.parametrize("name", PIPELINES)
def test_the_committed_file_is_fresh(name: str, fresh: Path) -> None:
    committed, made = (folder / f"{name}.yaml" for folder in (COMPILED, fresh))
    one, other = (list(yaml.safe_load_all(file.read_text())) for file in (committed, made))
    assert one == other, "run `make pipelines`"
    assert PLANTED not in made.read_text()


@pytest.mark.parametrize("name", PIPELINES)
def test_every_task_has_a_place(name: str) -> None:
    """Limits, a volume, /dev/shm, a time and a user; accounts by the name of their secret."""
    spec, platform = yaml.safe_load_all((COMPILED / f"{name}.yaml").read_text())
    places = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    executors = spec["deploymentSpec"]["executors"]
    assert places.keys() == executors.keys()
    for label, executor in executors.items():
        resources, where = executor["container"]["resources"], places[label]
        assert {"resourceCpuLimit", "resourceMemoryLimit"} <= resources.keys()
        assert [mount["mountPath"] for mount in where["pvcMount"]] == ["/runs"]
        assert [mount["mountPath"] for mount in where["emptyDirMounts"]] == ["/dev/shm"]
        assert where["activeDeadlineSeconds"]
        assert where["tolerations"]
        assert where["securityContext"]["runAsUser"] == "10001" or (
            where["securityContext"]["runAsUser"] == 10001
        )
        for secret in where.get("secretAsEnv", []):
            assert secret["secretName"] in ("umo-trainer", "umo-promoter")


@pytest.mark.parametrize("name", PIPELINES)
def test_what_is_tried_again(name: str) -> None:
    """Steps that read in the journal how the attempt before ended, and none that waits."""
    spec, platform = yaml.safe_load_all((COMPILED / f"{name}.yaml").read_text())
    places = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    dags = [spec["root"], *(part for part in spec["components"].values() if "dag" in part)]
    tasks = [task for part in dags for task in part["dag"]["tasks"].values()]
    for task in tasks:
        component = spec["components"][task["componentRef"]["name"]]
        if "dag" in component:
            continue
        label = component["executorLabel"]
        step = re.sub(r"-\d+$", "", label)
        assert ("retryPolicy" in task) == (step in STEPS), label
        if step in STEPS:
            assert task["retryPolicy"]["maxRetryCount"] == 3
            (variable,) = places[label]["fieldPathAsEnv"]
            assert variable == {
                "name": journal.RUN,
                "fieldPath": "metadata.labels['pipeline/runid']",
            }


def test_a_split_is_rendered_by_several_tasks() -> None:
    """Each one its part, joined by one that knows their digests in order."""
    tasks = Package.compile("training", shards=3).tasks
    for split in ("tune", "held-out"):
        mine = {
            name: task["inputs"]["parameters"]
            for name, task in tasks.items()
            if task["inputs"]["parameters"].get("split", {}).get("runtimeValue", {}).get("constant")
            == split
        }
        parts = {name: given for name, given in mine.items() if name.startswith("synthesize")}
        (joined,) = mine.keys() - parts.keys()
        shards = [given["shard"]["runtimeValue"]["constant"] for given in parts.values()]
        assert shards == [0, 1, 2]
        assert not any(tasks[name].get("dependentTasks") for name in parts)
        given = mine[joined]["parts"]["runtimeValue"]["constant"].split()
        channels = [f"pipelinechannel--{name}-Output" for name in parts]
        assert given == [f"{{{{$.inputs.parameters['{channel}']}}}}" for channel in channels]
        assert sorted(tasks[joined]["dependentTasks"]) == sorted(parts)


def test_artifacts_have_types() -> None:
    spec, _ = yaml.safe_load_all((COMPILED / "training.yaml").read_text())
    kinds = {
        output["artifactType"]["schemaTitle"]
        for component in spec["components"].values()
        for output in component.get("outputDefinitions", {}).get("artifacts", {}).values()
    }
    assert kinds == {"system.Dataset", "system.Model", "system.HTML", "system.Metrics"}


def test_image_and_gpus_of_a_submission() -> None:
    package = Package.compile("training", image="registry/components:1", gpus=2)
    assert package.resources("train")["gpus"] == package.resources("evaluate")["gpus"] == "2"
    assert package.resources("register")["gpus"] == "0"
    images = {package.resources(task)["image"] for task in package.tasks}
    assert images == {"registry/components:1"}


def test_a_task_that_waits_for_a_trainjob_has_no_gpu() -> None:
    package = Package.compile("training", gpus=2, nodes=2)
    assert package.resources("train")["gpus"] == "0"
    assert package.resources("evaluate")["gpus"] == "2"


def test_what_is_reused() -> None:
    package = Package.compile("training")
    before: dict[str, Any] = {"tune": "a", "train": "b", "evaluation": "c", "out": "/runs/x"}
    reused = package.cached({**before, "evaluation": "d"}, before)
    assert [task for task, kept in reused.items() if not kept] == ["evaluate", "register", "report"]
    assert not any(package.cached({**before, "out": "/runs/y"}, before).values())
    assert not any(Package.compile("promotion").cached({}, {}).values())


def test_shares_of_data_are_worked_on_at_once_and_then_collected() -> None:
    package = Package.compile("data", gpus=1)
    (loop,) = (t for t in package.spec["root"]["dag"]["tasks"].values() if "comp-for" in str(t))
    items = loop["parameterIterator"]["items"]
    assert items == {"inputParameter": "pipelinechannel--shares"}
    assert list(package.tasks) == ["work", "collect"]
    assert package.tasks["collect"]["dependentTasks"] == ["work"]
    assert package.resources("work")["gpus"] == "1"
    assert not any(package.cached({}, {}).values())
