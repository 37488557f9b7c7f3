"""Runs a pipeline on this machine, as a process of its own.

kfp's local runner takes over the root logger and prints; here both belong to it alone. SIGTERM is
for the step, which cleans up and ends; this process then ends because its task failed. Nothing is
tried again here: who gave the command sees why it failed, and may give it again.
Called as `python -m umo_pipelines.local <pipeline> <arguments.json>`.
"""

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kfp import local

from umo_pipelines import data, evaluation, promotion, training

PIPELINES: dict[str, Callable[[], Any]] = {
    "training": training.build,
    "evaluation": evaluation.build,
    "promotion": promotion.build,
    "data": data.build,
}
"""What builds each: kfp takes seconds for it, so only what is asked for is built."""


def main(pipeline: str, arguments: Path) -> None:
    """Run a pipeline with the arguments of a JSON file, each task as a subprocess.

    Raises:
        RuntimeError: A task failed.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    values = json.loads(arguments.read_text())
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(arguments.parent / "kfp"),
        raise_on_error=True,
    )
    once(PIPELINES[pipeline]())(**values)


def once(pipeline: Any) -> Any:
    """A pipeline whose tasks have one attempt."""
    spec = pipeline.pipeline_spec
    for dag in (spec.root.dag, *(component.dag for component in spec.components.values())):
        for task in dag.tasks.values():
            task.ClearField("retry_policy")
    return pipeline


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
