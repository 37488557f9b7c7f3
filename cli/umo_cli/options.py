"""The options that several commands share, and how they become a configuration."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer

from umo.errors import UsageError

T = TypeVar("T")

Format = Literal["table", "json"]

OutputOption = Annotated[
    Format, typer.Option("--output", "-o", help="How to print the result on stdout.")
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="YAML file with settings.", show_default=False)
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="One setting; dots reach inside; may be given several times.",
        show_default=False,
    ),
]

BaseOption = Annotated[str, typer.Option("--base", help="`embedded`, or the folder of a base.")]
FacesOption = Annotated[
    str,
    typer.Option(
        "--faces", help="Face pack: `open`, or `insightface:`, `umo:` or `xverse:` and a folder."
    ),
]
WeightsOption = Annotated[
    Literal["auto", "float32", "bfloat16", "int8"],
    typer.Option(
        help="How to keep the base's weights; `auto`: bfloat16 on a GPU, float32 on a CPU."
    ),
]
DatasetOption = Annotated[
    str, typer.Option("--data", help="A dataset: folder or s3://BUCKET/PREFIX.", show_default=False)
]


def _show_help(context: typer.Context, wanted: bool) -> None:
    if wanted:
        typer.echo(context.get_help())
        raise typer.Exit


HelpOption = Annotated[
    bool,
    typer.Option("--help", is_eager=True, callback=_show_help, help="Show this message and exit."),
]
"""`--help` of a group; typer's own loads pydantic even for the help of a command inside."""


def configure(
    cls: type[T],
    config: Path | None,
    assignments: list[str] | None,
    **options: Any,
) -> T:
    """The configuration of a command: the file, then `--set`, then the options that were given.

    Args:
        cls: The config dataclass.
        config: A YAML file, or None for the defaults.
        assignments: `key=value` strings with dotted keys; a value is read as YAML.
        options: Settings that have an option of their own; None means not given.

    Raises:
        NotFoundError: The file does not exist.
        UsageError: An unknown key, a wrong value, or an assignment without `=`.
    """
    from umo.config import from_mapping, read

    values = read(config) if config else {}
    for assignment in assignments or []:
        _assign(values, assignment)
    values.update({key: value for key, value in options.items() if value is not None})
    return from_mapping(cls, values, where=str(config or "settings"))


def _assign(values: dict[str, Any], assignment: str) -> None:
    import yaml

    dotted, equals, text = assignment.partition("=")
    if not equals or not all(dotted.split(".")):
        raise UsageError(f"--set {assignment!r} is not KEY=VALUE", hint="for example --set seed=2")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UsageError(f"--set {assignment!r}: the value is not YAML") from None
    *parents, key = dotted.split(".")
    for parent in parents:
        inner = values.get(parent)
        values[parent] = dict(inner) if isinstance(inner, Mapping) else {}
        values = values[parent]
    values[key] = value
