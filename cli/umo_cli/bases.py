"""`umo bases`: make a downloaded base known."""

from pathlib import Path
from typing import Annotated

import typer

from umo_cli.options import HelpOption, OutputOption
from umo_cli.output import print_result, work_on_stderr

app = typer.Typer(add_help_option=False, rich_markup_mode=None)


@app.callback()
def bases(help_wanted: HelpOption = False) -> None:
    """Make a downloaded base known."""


@app.command()
def seal(
    folder: Annotated[Path, typer.Argument(help="Diffusers folder of the base.")],
    name: Annotated[str, typer.Option(help="What to call it.")],
    licence: Annotated[str, typer.Option(help="Its licence, as its publisher names it.")],
    source: Annotated[str, typer.Option(help="Where it came from.", show_default=False)] = "",
    output: OutputOption = "table",
) -> None:
    """Record what a base is and the sha256 of every file; `--base FOLDER` then takes it."""
    with work_on_stderr():
        from umo.bases.seal import seal as close

        sealed = close(folder, name=name, licence=licence, source=source)
    print_result(sealed, output)
