"""The `umo` command: its nouns, and the edge where an error becomes one line and an exit code."""

import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from umo.errors import ExitCode, UmoError, without_passwords
from umo_cli import (
    bases,
    bench,
    data,
    doctor,
    evaluate,
    export,
    faces,
    models,
    pretrain,
    run,
    runs,
    serve,
    train,
)
from umo_cli.options import HelpOption

TYPER_INTERRUPTED = 130
"""What typer returns after Ctrl-C."""

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_help_option=False,
)
app.command("run")(run.run)
app.command("doctor")(doctor.doctor)
app.command("pretrain")(pretrain.pretrain)
app.command("train")(train.train)
app.command("export")(export.export)
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(data.app, name="data")
app.add_typer(runs.app, name="runs")
app.add_typer(models.app, name="models")
app.add_typer(serve.app, name="serve")
app.add_typer(bases.app, name="bases")
app.add_typer(bench.app, name="bench")
app.add_typer(faces.app, name="faces")


@app.callback(invoke_without_command=True)
def umo(context: typer.Context, help_wanted: HelpOption = False) -> None:
    """Tune image models until several people stay recognisable in one picture."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def execute(arguments: Sequence[str]) -> int:
    """Run one command line; errors go to stderr as one line.

    Args:
        arguments: What follows `umo`.

    Returns:
        The exit code, one of `umo.errors.ExitCode`.
    """
    try:
        code = app(list(arguments), prog_name="umo", standalone_mode=False) or ExitCode.OK
    except typer.TyperException as error:
        return _report(f"{error.format_message()} See `umo --help`.", error.exit_code)
    except UmoError as error:
        _raise_when_debugging(error)
        return _report(str(error), error.exit_code)
    except Exception as error:
        _raise_when_debugging(error)
        message = f"{type(error).__name__}: {error}; set UMO_DEBUG=1 for the traceback"
        return _report(message, ExitCode.FAILED)
    if code == TYPER_INTERRUPTED:
        return _report("interrupted; run the same command again", ExitCode.INTERRUPTED)
    return int(code)


def main() -> NoReturn:
    """Entry point of the console script; SIGTERM ends a command as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(execute(sys.argv[1:]))


def _raise_when_debugging(error: Exception) -> None:
    if os.environ.get("UMO_DEBUG") == "1":
        raise error


def _report(message: str, code: int) -> int:
    typer.echo(f"error: {without_passwords(' '.join(message.split()))}", err=True)
    return int(code)
