import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from umo.errors import DiffersError, ExitCode
from umo_cli import main
from umo_cli.options import Format

HEAVY = ("torch", "kfp", "mlflow", "diffusers", "transformers", "numpy", "pydantic", "rich", "yaml")


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with its path, groups and the root included."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


COMMANDS = dict(commands(get_command(main.app)))


def test_import_is_light() -> None:
    code = f"import sys, umo_cli.main; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, umo_cli.main; "
        "code = umo_cli.main.execute(['data', 'render', '--help']); "
        f"print([m for m in {HEAVY} if m in sys.modules]); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_and_option_has_help(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    command = COMMANDS[path]
    assert command.help
    for option in command.params:
        assert option.help, f"{option.name} of {' '.join(path)} has no help"
    assert main.execute([*path, "--help"]) == ExitCode.OK
    assert capsys.readouterr().out.startswith(" ".join(("Usage: umo", *path)))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_and_option_is_documented(path: tuple[str, ...]) -> None:
    documented = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    command = COMMANDS[path]
    if hasattr(command, "commands"):
        return
    heading = f"## umo {' '.join(path)}\n"
    assert heading in documented
    section = documented.partition(heading)[2].partition("\n## ")[0]
    for option in command.params:
        for name in (*option.opts, *option.secondary_opts):
            if name.startswith("-"):
                assert f"`{name}" in section or f" {name}" in section, f"{name} is not documented"


def test_no_command_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.execute([]) == ExitCode.OK
    assert "Commands:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "error: No such command 'nothing'."),
        (["run", "--seed", "x"], "error: Invalid value for '--seed'"),
        (["train", "--out", "x"], "error: Missing option '--data'."),
        (["doctor", "-o", "xml"], "error: Invalid value for '--output'"),
    ],
)
def test_wrong_arguments_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.execute(arguments) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(message)
    assert captured.err.count("\n") == 1


def failing(error: BaseException) -> typer.Typer:
    app = typer.Typer()

    @app.callback()
    def root() -> None: ...

    @app.command()
    def fail(output: Format = "table") -> None:
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DiffersError("a is 1, b is 2", hint="make them equal"), 5, "a is 1, b is 2; make them"),
        (ValueError("two\nlines"), 1, "ValueError: two lines; set UMO_DEBUG=1"),
        (OSError(28, "No space left on device", "/x"), 1, "OSError: [Errno 28] No space left"),
        (KeyboardInterrupt(), 75, "interrupted; run the same command again"),
    ],
)
def test_errors_become_one_line_and_a_code(
    error: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(main, "app", failing(error))
    assert main.execute(["fail"]) == code
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {line}")
    assert captured.err.count("\n") == 1


def test_debugging_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "app", failing(DiffersError("a")))
    monkeypatch.setenv("UMO_DEBUG", "1")
    with pytest.raises(DiffersError, match="a"):
        main.execute(["fail"])
