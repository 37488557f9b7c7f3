"""Every command that the documentation shows works, or at least is one that exists."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torch.distributed.run import get_args_parser
from typer.main import get_command

from umo_cli import main

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("**/*.md")])


def shown(page: Path) -> Iterator[list[str]]:
    for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        yield from (shlex.split(line) for line in block.splitlines())


COMMANDS = sorted({tuple(command) for page in PAGES for command in shown(page)})


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_shown_command(command: tuple[str, ...]) -> None:
    program, *arguments = command
    if program == "make":
        subprocess.run(["make", "-n", *arguments], cwd=ROOT, check=True, capture_output=True)
    elif program == ".venv/bin/umo" and "--help" in arguments:
        assert main.execute(arguments) == 0
    elif program == ".venv/bin/umo":
        parse(get_command(main.app), "umo", arguments)
    elif program == ".venv/bin/torchrun":
        launched = get_args_parser().parse_args(arguments)
        assert (launched.no_python, launched.training_script) == (True, ".venv/bin/umo")
        parse(get_command(main.app), "umo", launched.training_script_args)
    elif program == ".venv/bin/python":
        assert (ROOT / arguments[0]).is_file()
    else:
        assert program in {".venv/bin/mlflow", ".venv/bin/hf"}


def parse(command: Any, name: str, arguments: list[str], parent: Any = None) -> None:
    """Parse as the command line does, without running anything."""
    with command.make_context(name, arguments, parent=parent) as context:
        rest = context._protected_args + context.args if hasattr(command, "commands") else []
        if rest:
            inner_name, inner, inner_arguments = command.resolve_command(context, rest)
            parse(inner, inner_name, inner_arguments, context)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_sources_named_exist(page: Path) -> None:
    for target in re.findall(r"`((?:components|pipelines|serving|cli)/[^`]+)`", page.read_text()):
        assert (ROOT / target).exists(), f"{page.name} names {target}"
