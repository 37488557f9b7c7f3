"""What the commands of `umo models` share: which model, which version, which store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from umo.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from umo.ledger import Ledger
    from umo.registry import Registry

DEFAULT_RUN = Path("runs/default")

ModelArgument = Annotated[str, typer.Argument(help="Name of the model.", show_default=False)]
VersionArgument = Annotated[
    str,
    typer.Argument(help="Version of the candidate, `champion` or `previous`.", show_default=False),
]
ReasonOption = Annotated[str, typer.Option(help="Why; the ledger keeps it.", show_default=False)]
ExpectedOption = Annotated[
    int | None,
    typer.Option(
        help="Candidate that must be champion now, 0 for none.", min=0, show_default="any"
    ),
]
RunOption = Annotated[
    Path | None,
    typer.Option(
        "--run",
        help="Run folder with mlflow.db and ledger.db.",
        show_default=f"the environment's servers, else {DEFAULT_RUN}",
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Only check, and change nothing.", show_default=False)
]
AsOfOption = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="DATE",
        help="As it was at the end of that day, or at that time, UTC.",
        show_default=False,
    ),
]


def connect(run: Path | None) -> "tuple[Registry, Ledger]":
    """MLflow and ledger of a run folder, else of the environment.

    Raises:
        NotFoundError: There is no run in the folder.
        UsageError: The environment names an MLflow server and no ledger.
    """
    from umo.ledger import Ledger
    from umo.registry import Registry
    from umo.store import Store

    store = Store.existing(run, default=DEFAULT_RUN)
    return Registry(store), Ledger(store.ledger)


def names_of(registry: "Registry", model: str | None) -> list[str]:
    """The model that a person names, or all of them.

    Raises:
        NotFoundError: There is no such model.
    """
    names = registry.names()
    if model is None:
        return names
    if model not in names:
        raise NotFoundError(f"no model {model!r}", hint=f"there is {', '.join(names) or 'none'}")
    return [model]


def number_of(registry: "Registry", ledger: "Ledger", model: str, version: str) -> int:
    """Number of the candidate that a person names.

    Raises:
        NotFoundError: There is no such model, or it has no such champion.
        UsageError: It is neither a number nor an alias.
    """
    names_of(registry, model)
    if version.isdecimal():
        return int(version)
    reign = ledger.reign(model)
    aliases = {"champion": reign.champion, "previous": reign.previous}
    if version not in aliases:
        raise UsageError(f"{version!r} is no version", hint="give a number, champion or previous")
    if (event := aliases[version]) is None:
        raise NotFoundError(f"{model} has no {version}", hint=f"see `umo models history {model}`")
    return event.version
