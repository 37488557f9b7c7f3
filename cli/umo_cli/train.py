"""`umo train`: tune a base with ReReFL."""

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


def train(
    data: DatasetOption,
    out: Annotated[Path, typer.Option(help="Folder to write the LoRA to.")],
    base: BaseOption = "embedded",
    faces: FacesOption = "open",
    config: ConfigOption = None,
    assignments: SetOption = None,
    checkpoints: Annotated[
        str | None,
        typer.Option(
            help="Folder or s3://BUCKET/PREFIX of the checkpoints.",
            show_default="`checkpoints` in --out",
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps encoded datasets.", show_default=False),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option("--from", help="LoRA file to go on from.", show_default="a fresh LoRA"),
    ] = None,
    output: OutputOption = "table",
) -> None:
    """Tune a LoRA on a base with the matching reward.

    The folder gets `lora.safetensors`, its manifest, `metrics.jsonl` with the curves and `samples`
    with pictures on the way. Where MLFLOW_TRACKING_URI is set, MLflow shows them as they come. A
    run that was interrupted or killed goes on from its newest checkpoint when the same command is
    given again.
    """
    with work_on_stderr(), progress_bar("train") as progress:
        from umo.steps import train as step
        from umo.store import Store
        from umo.training.rerefl import RereflConfig

        settings = configure(RereflConfig, config, assignments)
        step.run(
            settings,
            base=base,
            pack=faces,
            data=data,
            folder=out,
            progress=progress,
            checkpoints=checkpoints,
            cache=cache,
            store=Store.followed(),
            start=start,
        )
    print_manifest(out, output)
