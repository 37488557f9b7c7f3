"""Results on stdout, as a table for people or one JSON object for programs."""

import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from umo_cli.options import Format


@contextmanager
def work_on_stderr() -> Iterator[None]:
    """Send what the body and its subprocesses print to stderr, so that stdout keeps the result."""
    sys.stdout.flush()
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Show a bar on stderr; yield what takes `done`, `total`, perhaps `phase` and measures.

    Nothing is shown where stderr is no terminal.
    """
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from umo_pipelines.progress import note

    console = Console(stderr=True)
    columns = (
        *Progress.get_default_columns()[:3],
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task(label, total=None, note="")

        def update(facts: Mapping[str, Any]) -> None:
            bars.update(
                task,
                description=f"{label} {facts.get('phase', '')}".rstrip(),
                completed=facts["done"],
                total=facts["total"],
            )
            if "samples_per_second" in facts:
                bars.update(task, note=note(facts))

        yield update


def print_json(result: Mapping[str, Any]) -> None:
    """Print one JSON object; numbers that JSON does not know become null."""
    print(json.dumps(_plain(result), indent=2))


def print_result(result: Mapping[str, Any], output: Format) -> None:
    """Print the same few facts as JSON or line by line."""
    if output == "json":
        print_json(result)
    else:
        print_facts(result)


def print_manifest(folder: Path, output: Format) -> None:
    """Print what a command wrote: the facts of the folder's manifest, without its list of files."""
    from umo.files import read_manifest

    facts = {"folder": str(folder), **read_manifest(folder)}
    del facts["files"]
    if output == "json":
        print_json(facts)
    else:
        print_facts({key: value for key, value in facts.items() if not isinstance(value, dict)})


def print_facts(facts: Mapping[str, object]) -> None:
    """Print a line for each fact; values are never broken, so that paths can be copied."""
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {text(value)}")


def print_table(
    rows: Sequence[Sequence[object]], *, header: Sequence[str], title: str = ""
) -> None:
    """Print rows in columns that wrap at the width of the terminal, 80 where there is none.

    Args:
        rows: Cells, as many in each row; columns of numbers are aligned to the right.
        header: Names of the columns.
        title: A line above the table.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    cells = [[text(cell) for cell in row] for row in rows]
    for name, column in zip(header, zip(*cells, strict=True), strict=True):
        numbers = all(cell[:1] in "+-0123456789" for cell in column)
        table.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for row in cells:
        table.add_row(*map(escape, row))
    console = Console(highlight=False)
    if title:
        console.print(f"[bold]{escape(title)}[/bold]")
    console.print(table)
    console.print()


def text(value: object) -> str:
    """A cell: numbers with four significant digits, nothing for None."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case _:
            return str(value)


def _plain(value: Any) -> Any:
    match value:
        case Mapping():
            return {str(key): _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case float() if not math.isfinite(value):
            return None
        case str() | int() | float() | None:
            return value
        case _:
            return str(value)
