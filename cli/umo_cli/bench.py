"""`umo bench`: reproduce published comparisons, and say what training costs."""

from pathlib import Path
from typing import Annotated

import typer

from umo_cli.options import ConfigOption, HelpOption, OutputOption, SetOption, configure
from umo_cli.output import print_json, print_table, progress_bar, work_on_stderr

app = typer.Typer(add_help_option=False, rich_markup_mode=None)


@app.callback()
def bench(help_wanted: HelpOption = False) -> None:
    """Reproduce published comparisons, and say what training costs."""


@app.command()
def ablation(
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs/ablation"),
    config: ConfigOption = None,
    assignments: SetOption = None,
    output: OutputOption = "table",
) -> None:
    """Compare base, fine-tuning, ReReFL+SIR and ReReFL+MIMR over several seeds; takes hours."""
    with work_on_stderr(), progress_bar("ablation") as progress:
        from umo.steps.ablation import AblationConfig, table
        from umo.steps.ablation import ablation as compare

        result = compare(configure(AblationConfig, config, assignments), out, progress)
    if output == "json":
        print_json(result)
    else:
        typer.echo(table(result))


@app.command()
def rereflops(
    config: ConfigOption = None,
    assignments: SetOption = None,
    output: OutputOption = "table",
) -> None:
    """Account for a training step at FLUX.1-dev's shape, and measure it where there is a GPU.

    The weights are random. Without a CUDA device operations and memory are accounted on torch's
    meta device, which computes nothing.
    """
    with work_on_stderr(), progress_bar("rereflops") as progress:
        from umo.training.rereflops import RereflopsConfig, rows
        from umo.training.rereflops import rereflops as bench

        result = bench(configure(RereflopsConfig, config, assignments), progress)
    if output == "json":
        print_json(result)
    else:
        typer.echo(f"device: {result['device']}")
        header, *lines = rows(result)
        print_table(lines, header=header)


@app.command()
def serving(output: OutputOption = "table") -> None:
    """Account for the GPU memory of serving FLUX.1-dev, in bfloat16 and in 8 bits.

    The weights are random; it is all computed on torch's meta device, which needs no GPU.
    """
    with work_on_stderr():
        from umo.training.footprint import footprint, rows

        result = footprint()
    if output == "json":
        print_json(result)
    else:
        header, *lines = rows(result)
        print_table(lines, header=header)
