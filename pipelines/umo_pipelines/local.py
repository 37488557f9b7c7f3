"""Runs a pipeline on this machine, as a process of its own.

kfp's local runner takes over the root logger and prints; here both belong to it alone. SIGTERM is
for the step, which cleans up and ends; this process then ends because its task failed.
Called as `python -m umo_pipelines.local <pipeline> <arguments.json>`.
"""

import json
import signal
import sys
from pathlib import Path

from kfp import local

from umo_pipelines.evaluation import evaluation
from umo_pipelines.promotion import promotion
from umo_pipelines.training import training

PIPELINES = {"training": training, "evaluation": evaluation, "promotion": promotion}


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
    PIPELINES[pipeline](**values)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
