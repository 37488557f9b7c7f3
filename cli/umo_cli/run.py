"""`umo run`: the whole job."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from umo_cli.options import ConfigOption, OutputOption, SetOption, configure
from umo_cli.output import print_json, work_on_stderr


def run(
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/default"),
    config: ConfigOption = None,
    assignments: SetOption = None,
    base: Annotated[
        str | None,
        typer.Option(help="`embedded`, or the folder of a base.", show_default="embedded"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of people, training and noise.", show_default="0")
    ] = None,
    open_report: Annotated[
        bool | None,
        typer.Option(
            "--open/--no-open",
            help="Open the report in a browser.",
            show_default="on a desktop, when stdout is a terminal",
        ),
    ] = None,
    output: OutputOption = "table",
) -> None:
    """Synthesise people, tune on them, compare with the base, report and register.

    About 15 minutes on two cores with the default settings. A run that was interrupted goes on
    where it stopped when the same command is given again.
    """
    with work_on_stderr():
        from umo.steps.run import RunConfig
        from umo_pipelines.submit import run_local

        settings = configure(RunConfig, config, assignments, base=base, seed=seed)
        summary = run_local(settings, out, progress=True)
    if output == "json":
        print_json(summary)
    else:
        show(summary)
    if open_report if open_report is not None else _on_desktop():
        typer.launch(str(summary["report"]))


def show(summary: Mapping[str, Any]) -> None:
    """Print the summary of a run: the scores side by side, then what to look at."""


def _on_desktop() -> bool:
    screen = sys.platform == "darwin" or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    return screen and sys.stdout.isatty()
