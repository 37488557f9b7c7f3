"""Pipelines on a cluster: submit, look, cancel and schedule by the API of Kubeflow Pipelines."""

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from umo.errors import DeniedError, ExitCode, NotFoundError, UmoError, UsageError
from umo_pipelines.local import PIPELINES
from umo_pipelines.training import SHARDS, build

HOST, TOKEN = "UMO_PIPELINES", "UMO_PIPELINES_TOKEN"
EXPERIMENT = "umo"
SUCCEEDED = "SUCCEEDED"
ENDED = (SUCCEEDED, "FAILED", "CANCELED", "SKIPPED")
PAGE = 50
INNER = "pipelinechannel--"
"""How kfp calls a parameter of the pipeline inside of an exit handler."""


@dataclass(frozen=True, kw_only=True)
class Package:
    """A compiled pipeline, with image and GPUs of this submission."""

    name: str
    """Of the pipeline."""
    spec: Mapping[str, Any]
    """The IR."""
    platform: Mapping[str, Any] = field(default_factory=dict)
    """What is for Kubernetes alone."""

    @classmethod
    def compile(
        cls, name: str, *, image: str = "", gpus: int = 0, nodes: int = 0, shards: int = SHARDS
    ) -> "Package":
        """Compile a pipeline.

        Args:
            name: `training`, `evaluation`, `promotion` or `data`.
            image: Of every step; the built-in one by default.
            gpus: Of the tasks that paint.
            nodes: Of a TrainJob, which has its own GPUs: the task that waits for it gets none.
            shards: Tasks that render each split of a training.
        """
        from kfp import compiler

        pipeline = build(shards) if name == "training" else PIPELINES[name]()
        painters = ("exec-work", "exec-evaluate", *(() if nodes else ("exec-train",)))
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "pipeline.yaml"
            compiler.Compiler().compile(pipeline, str(file))
            spec, *rest = yaml.safe_load_all(file.read_text())
        for label, executor in spec["deploymentSpec"]["executors"].items():
            if image:
                executor["container"]["image"] = image
            if gpus and label.startswith(painters):
                accelerator = {"resourceType": "nvidia.com/gpu", "resourceCount": str(gpus)}
                executor["container"].setdefault("resources", {})["accelerator"] = accelerator
        return cls(name=name, spec=spec, platform=rest[0] if rest else {})

    def write(self, folder: Path) -> Path:
        """Write it as KFP reads it; returns the file."""
        file = folder / f"{self.name}.yaml"
        parts = [dict(self.spec), *([dict(self.platform)] if self.platform else [])]
        file.write_text(yaml.safe_dump_all(parts, sort_keys=True))
        return file

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """Tasks by name, each after those that it depends on."""
        found = self._dag(self.spec["root"]["dag"]["tasks"])
        placed: dict[str, dict[str, Any]] = {}
        while len(placed) < len(found):
            for name, task in found.items():
                if set(task.get("dependentTasks", [])) & set(found) <= set(placed):
                    placed.setdefault(name, task)
        return placed

    def _dag(self, tasks: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Tasks, those inside of an exit handler or a loop too, which others then wait for."""
        parts: dict[str, dict[str, dict[str, Any]]] = {}
        for name, task in tasks.items():
            component = self.spec["components"][task["componentRef"]["name"]]
            parts[name] = (
                self._dag(component["dag"]["tasks"]) if "dag" in component else {name: task}
            )
        flat: dict[str, dict[str, Any]] = {}
        for inner in parts.values():
            for name, task in inner.items():
                before = task.get("dependentTasks", [])
                waits = [one for group in before for one in parts.get(group, [group])]
                flat[name] = {**task, "dependentTasks": waits}
        return flat

    def cached(self, now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, bool]:
        """Whether KFP will reuse each task of an earlier run that succeeded with `before`."""
        changed = {key for key in {*now, *before} if now.get(key) != before.get(key)}
        reused: dict[str, bool] = {}
        for name, task in self.tasks.items():
            inputs = task.get("inputs", {}).get("parameters", {}).values()
            used = {
                one["componentInputParameter"].removeprefix(INNER)
                for one in inputs
                if "componentInputParameter" in one
            }
            kept = all(reused.get(one, False) for one in task.get("dependentTasks", []))
            caching = task.get("cachingOptions", {}).get("enableCache", False)
            reused[name] = caching and kept and not used & changed
        return reused

    def resources(self, task: str) -> dict[str, Any]:
        """Image and resources of a task."""
        component = self.tasks[task]["componentRef"]["name"]
        label = self.spec["components"][component]["executorLabel"]
        container = self.spec["deploymentSpec"]["executors"][label]["container"]
        asked = container.get("resources", {})
        return {
            "image": container["image"],
            "cpu": asked.get("resourceCpuRequest") or asked.get("cpuRequest"),
            "memory": asked.get("resourceMemoryRequest") or asked.get("memoryRequest"),
            "gpus": asked.get("accelerator", {}).get("resourceCount", "0"),
        }


class Remote:
    """The Kubeflow Pipelines of a cluster.

    Args:
        host: Its address; UMO_PIPELINES by default. A token comes from UMO_PIPELINES_TOKEN.
        namespace: Of the runs, where several people share it.

    Raises:
        UsageError: There is no address.
    """

    def __init__(self, host: str = "", namespace: str = "") -> None:
        import kfp

        self.host = (host or os.environ.get(HOST, "")).rstrip("/")
        if not self.host.startswith(("http://", "https://")):
            raise UsageError(
                f"{self.host.rpartition('@')[2] or 'nothing'} is no address of Kubeflow Pipelines",
                hint=f"set {HOST}, for example http://localhost:8888 after "
                "`kubectl -n kubeflow port-forward svc/ml-pipeline 8888`",
            )
        with _errors("reach"):
            self._client = kfp.Client(
                host=self.host,
                namespace=namespace or "kubeflow",
                existing_token=os.environ.get(TOKEN) or None,
            )
        self._namespace = namespace or None

    def submit(
        self, package: Package, values: Mapping[str, Any], *, name: str, account: str = ""
    ) -> str:
        """Start a run; returns its id."""
        with _errors("start a run"), tempfile.TemporaryDirectory() as scratch:
            made = self._client.create_run_from_pipeline_package(
                str(package.write(Path(scratch))),
                arguments=dict(values),
                run_name=name,
                experiment_name=EXPERIMENT,
                namespace=self._namespace,
                service_account=account or None,
            )
        return str(made.run_id)

    def schedule(
        self,
        package: Package,
        values: Mapping[str, Any],
        *,
        name: str,
        cron: str,
        account: str = "",
    ) -> str:
        """Start a run again and again; returns the id of the schedule."""
        with _errors("make a schedule"), tempfile.TemporaryDirectory() as scratch:
            experiment = self._client.create_experiment(EXPERIMENT, namespace=self._namespace)
            made = self._client.create_recurring_run(
                experiment_id=experiment.experiment_id,
                job_name=name,
                cron_expression=cron,
                max_concurrency=1,
                no_catchup=True,
                pipeline_package_path=str(package.write(Path(scratch))),
                params=dict(values),
                service_account=account or None,
            )
        return str(made.recurring_run_id)

    def runs(self, count: int) -> list[dict[str, Any]]:
        """The newest runs."""
        with _errors("list the runs"):
            found = self._client.list_runs(
                page_size=min(count, PAGE), sort_by="created_at desc", namespace=self._namespace
            )
        return [plain(run) for run in found.runs or []]

    def run(self, run: str) -> dict[str, Any]:
        """One run, with its tasks.

        Raises:
            NotFoundError: There is none.
        """
        with _errors(f"find the run {run}"):
            return plain(self._client.get_run(run))

    def last(self, pipeline: str) -> dict[str, Any] | None:
        """The newest run of a pipeline that succeeded."""
        for run in self.runs(PAGE):
            if run["name"].startswith(f"{pipeline} ") and run["state"] == SUCCEEDED:
                return self.run(run["id"])
        return None

    def cancel(self, run: str) -> None:
        """Stop a run.

        Raises:
            NotFoundError: There is none.
        """
        with _errors(f"cancel the run {run}"):
            self._client.terminate_run(run)


def plain(run: Any) -> dict[str, Any]:
    """What matters of a run, in plain values."""
    details = run.run_details.task_details if run.run_details else None
    return {
        "id": run.run_id,
        "name": run.display_name,
        "state": run.state or "PENDING",
        "created": str(run.created_at or ""),
        "finished": str(run.finished_at or "") if run.state in ENDED else "",
        "error": run.error.message if run.error else "",
        "parameters": dict(run.runtime_config.parameters or {}) if run.runtime_config else {},
        "tasks": [
            {
                "name": task.display_name,
                "state": task.state or "PENDING",
                "error": task.error.message if task.error else "",
                "pod": task.pod_name
                or next((child.pod_name for child in task.child_tasks or [] if child.pod_name), ""),
            }
            for task in details or []
        ],
    }


@contextmanager
def _errors(doing: str) -> Any:
    from kfp_server_api.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as error:
        text = _message(error)
        match error.status:
            case 401 | 403:
                raise DeniedError(
                    f"Kubeflow Pipelines does not let you {doing}: {text}", hint=f"set {TOKEN}"
                ) from error
            case 404:
                raise NotFoundError(
                    f"cannot {doing}: {text}", hint="see `umo runs list`"
                ) from error
        raise UmoError(f"cannot {doing}: {text}") from error
    except (HTTPError, OSError) as error:
        raise UmoError(
            f"cannot {doing}: Kubeflow Pipelines does not answer ({type(error).__name__})",
            hint=f"is {HOST} right, and a port-forward running?",
            exit_code=ExitCode.INTERRUPTED,
            retryable=True,
        ) from error


def _message(error: Any) -> str:
    try:
        return str(json.loads(error.body)["message"]).split("\n")[0]
    except (ValueError, KeyError, TypeError):
        return f"HTTP {error.status} {error.reason}"
