"""`umo faces`: maintain the open face pack."""

from pathlib import Path
from typing import Annotated

import typer

from umo_cli.options import OutputOption
from umo_cli.output import print_manifest, work_on_stderr

app = typer.Typer(help="Maintain the open face pack.", rich_markup_mode=None)


@app.callback()
def faces() -> None:
    """Maintain the open face pack."""


@app.command()
def rebuild(
    out: Annotated[Path, typer.Option(help="Folder to write the pack to.", show_default=False)],
    output: OutputOption = "table",
) -> None:
    """Rebuild the pack from the published packages and prove that each network agrees with it."""
    with work_on_stderr():
        from umo.faces.rebuild import rebuild as rebuild_pack

        rebuild_pack(out)
    print_manifest(out, output)
