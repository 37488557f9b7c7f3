"""Runs the training pipeline on this machine, as a process of its own.

kfp's local runner takes over the root logger and prints; here both belong to it alone. SIGTERM is
for the step, which cleans up and ends; this process then ends because its task failed.
Called as `python -m umo_pipelines.local <arguments.json>`.
"""

import json
import signal
import sys
from pathlib import Path

from kfp import local

from umo_pipelines.training import training


def main(arguments: Path) -> None:
    """Run the pipeline with the arguments of a JSON file, each task as a subprocess.

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
    training(**values)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
