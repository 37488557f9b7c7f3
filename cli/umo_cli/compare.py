"""`umo evaluate compare`: scored benchmarks of several models side by side."""

from pathlib import Path
from typing import Annotated

import typer

from umo_cli.options import ConfigOption, OutputOption, SetOption, configure
from umo_cli.output import print_json, print_table, work_on_stderr


def compare(
    folders: Annotated[
        list[str],
        typer.Argument(
            metavar="FOLDER...",
            help="Folders with `scores.json`, or LABEL=FOLDER; the others are held against the "
            "first.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write the report to.", show_default=False)],
    pictures: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL=FOLDER",
            help="Where a model's pictures are, if not where `umo evaluate` has them.",
            show_default=False,
        ),
    ] = None,
    references: Annotated[
        Path | None,
        typer.Option(
            help="Where the references are, if not where `umo evaluate` has them.",
            show_default=False,
        ),
    ] = None,
    definition: Annotated[
        str | None,
        typer.Option(
            help="Whose ID-Conf the verdict takes, `paper` or `scripts`; by default the paper's.",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    output: OutputOption = "table",
) -> None:
    """Say which model is better, by how much and where it fails, and write a report.

    It reads scores alone, so it takes seconds and touches a picture only to show it.
    """
    with work_on_stderr():
        from umo.evaluation.comparison import ComparisonConfig
        from umo.evaluation.comparison_report import write_comparison
        from umo.evaluation.gallery import places_of
        from umo.evaluation.scored import read_scored
        from umo.evaluation.tables import published_table
        from umo.evaluation.verdict import against_first
        from umo.files import read_manifest

        settings = configure(ComparisonConfig, config, assignments, definition=definition)
        models = [read_scored(folder, label) for label, folder in map(_named, folders)]
        named = dict(map(_named, pictures or []))
        comparison = write_comparison(
            models, out, places=places_of(models, named, references), config=settings
        )
        manifest = read_manifest(out)
        table = published_table(comparison)
    if output == "json":
        del manifest["files"]
        print_json({"folder": str(out), **manifest})
        return
    rows = [[row.headings[0], *(cell.text for cell in row.cells)] for row in table.rows]
    header = [table.columns[0], *table.columns[table.headings :]]
    print_table(rows, header=header, title=table.title)
    typer.echo(manifest["verdict"])
    if more := against_first(comparison):
        typer.echo(more)
    typer.echo(f"{out / 'report.html'}")


def _named(argument: str) -> tuple[str, Path]:
    """Label and folder; without a label it is empty."""
    label, _, folder = argument.rpartition("=")
    return ("", Path(argument)) if Path(argument).is_dir() else (label, Path(folder))
