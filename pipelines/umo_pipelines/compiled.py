"""Compile every pipeline for a cluster: `python -m umo_pipelines.compiled FOLDER`."""

import sys
from pathlib import Path

from kfp import compiler

from umo_pipelines import training
from umo_pipelines.local import PIPELINES
from umo_pipelines.training import SHARDS


def main(folder: Path) -> None:
    """Write the IR of each pipeline as YAML."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, build in PIPELINES.items():
        pipeline = training.build(SHARDS) if name == "training" else build()
        compiler.Compiler().compile(pipeline, str(folder / f"{name}.yaml"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
