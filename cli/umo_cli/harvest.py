"""`umo data harvest`: training samples out of photos and videos of real people."""

from pathlib import Path
from typing import Annotated

import typer

from umo.errors import UsageError
from umo_cli.options import ConfigOption, OutputOption, SetOption, configure
from umo_cli.output import print_manifest, print_result, progress_bar, work_on_stderr


def harvest(
    out: Annotated[Path, typer.Option(help="Folder to write the dataset to.", show_default=False)],
    licence: Annotated[
        str, typer.Option(help="Licence of all pictures, in your words.", show_default=False)
    ],
    consent: Annotated[
        str,
        typer.Option(help="How the people in them consented, in your words.", show_default=False),
    ],
    photos: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of photos; may be given several times.", show_default=False),
    ] = None,
    videos: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of videos; may be given several times.", show_default=False),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="CSV file NAME,PERSON of photos: check the clusters.", show_default=False
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Folder of the report; by default OUT-report.", show_default=False),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder that keeps what was done, also afterwards; by default OUT-work, which is "
            "deleted at the end.",
            show_default=False,
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Do only share I (from 0) of N of the work; needs --work.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes; by default one a core.", min=1, show_default=False),
    ] = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    output: OutputOption = "table",
) -> None:
    """Harvest groups of people and references of each from photos and videos."""
    with work_on_stderr(), progress_bar("harvest") as progress:
        from umo.data.share import Share
        from umo.harvest.harvest import HarvestConfig, work_shard
        from umo.harvest.sources import Kind, Source
        from umo.steps import harvest as step

        settings = configure(HarvestConfig, config, assignments)
        kinds: list[tuple[Kind, list[Path]]] = [("photos", photos or []), ("videos", videos or [])]
        sources = [
            Source(kind=kind, folder=folder, licence=licence, consent=consent)
            for kind, folders in kinds
            for folder in folders
        ]
        if shard:
            share = Share.parse(shard)
            if work is None:
                raise UsageError("--shard needs --work", hint="name a folder that all shards share")
            seconds = work_shard(
                settings,
                sources,
                work,
                share=share,
                workers=workers,
                progress=progress,
            )
        else:
            done = step.run(
                settings,
                sources,
                folder=out,
                work=work,
                report=report,
                labels=labels,
                workers=workers,
                progress=progress,
            )
            seconds = done.seconds
    if shard:
        print_result({"shard": shard, **{f"{k} s": v for k, v in seconds.items()}}, output)
    else:
        print_manifest(out, output)
