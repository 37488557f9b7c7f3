"""`umo evaluate`: compare a tuned model with its base."""

from pathlib import Path
from typing import Annotated

import typer

from umo.errors import UsageError
from umo_cli import compare, evaluate_benchmarks, measure
from umo_cli.options import (
    BaseOption,
    ConfigOption,
    FacesOption,
    HelpOption,
    OutputOption,
    SetOption,
    configure,
)
from umo_cli.output import print_manifest, progress_bar, work_on_stderr

app = typer.Typer(add_help_option=False, rich_markup_mode=None)
app.command("rendered")(evaluate_benchmarks.rendered)
app.command("people")(evaluate_benchmarks.people)
app.command("xversebench")(evaluate_benchmarks.xversebench)
app.command("omnicontext")(evaluate_benchmarks.omnicontext)
app.command("compare")(compare.compare)
app.command("measure")(measure.measure)
app.command("convert")(measure.convert)


@app.callback(invoke_without_command=True)
def evaluate(
    context: typer.Context,
    data: Annotated[
        str | None, typer.Option(help="A held-out dataset: folder or s3://.", show_default=False)
    ] = None,
    tuned: Annotated[
        Path | None, typer.Option(help="Folder that `umo train` wrote.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write scores and report to.", show_default=False),
    ] = None,
    base: BaseOption = "embedded",
    faces: FacesOption = "open",
    config: ConfigOption = None,
    assignments: SetOption = None,
    output: OutputOption = "table",
    help_wanted: HelpOption = False,
) -> None:
    """Judge base and tuned on the same prompts, seeds and references, and write a report.

    The judge is a face embedder that the reward never saw. The commands below score benchmarks
    instead; then the options stand behind the command.
    """
    given = {"--data": data, "--tuned": tuned, "--out": out}
    if context.invoked_subcommand:
        if misplaced := [name for name, value in given.items() if value]:
            raise UsageError(
                f"{misplaced[0]} stands before {context.invoked_subcommand}",
                hint="give options behind the command",
            )
        return
    if data is None or tuned is None or out is None:
        missing = next(name for name, value in given.items() if value is None)
        raise UsageError(f"Missing option '{missing}'.", hint="see `umo evaluate --help`")
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
