"""`umo evaluate`: compare a tuned model with its base."""

from pathlib import Path
from typing import Annotated

import typer

from umo_cli.options import (
    BaseOption,
    ConfigOption,
    DatasetOption,
    FacesOption,
    OutputOption,
    SetOption,
    configure,
)
from umo_cli.output import print_manifest, progress_bar, work_on_stderr


def evaluate(
    data: DatasetOption,
    tuned: Annotated[Path, typer.Option(help="Folder that `umo train` wrote.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to write scores and report to.")],
    base: BaseOption = "embedded",
    faces: FacesOption = "open",
    config: ConfigOption = None,
    assignments: SetOption = None,
    output: OutputOption = "table",
) -> None:
    """Judge base and tuned on the same prompts, seeds and references, and write a report.

    The judge is a face embedder that the reward never saw.
    """
    with work_on_stderr(), progress_bar("evaluate") as progress:
        from umo.evaluation.evaluate import EvaluationConfig
        from umo.steps import evaluate as step

        step.run(
            configure(EvaluationConfig, config, assignments),
            base=base,
            pack=faces,
            data=data,
            tuned=tuned,
            folder=out,
            progress=progress,
        )
    print_manifest(out, output)
