"""`umo models`: what keeps the workflow sound: agreement with MLflow, rights and keys."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from umo.errors import ExitCode
from umo_cli.model_options import DryRunOption, ModelArgument, RunOption, connect, names_of
from umo_cli.options import OutputOption
from umo_cli.output import print_facts, print_json, print_result, print_table, work_on_stderr

if TYPE_CHECKING:
    from umo.ledger import Ledger
    from umo.promotion import Drift
    from umo.registry import Registry


def reconcile(
    model: ModelArgument,
    serving: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a server of `umo serve up` that has to agree too.", show_default="none"
        ),
    ] = None,
    run: RunOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = "table",
) -> None:
    """Make MLflow, and a server, agree with the ledger.

    Exit code 5 if something differs still.
    """
    with work_on_stderr():
        from dataclasses import asdict

        from umo import promotion
        from umo.tracking import actor

        registry, ledger = connect(run)
        names_of(registry, model)
        drifts = promotion.reconcile(
            registry, ledger, model, actor=actor(registry.store), dry_run=dry_run
        )
        if serving:
            drifts += _reconcile_server(serving, registry, ledger, model, dry_run=dry_run)
    rows = [asdict(drift) for drift in drifts]
    if output == "json":
        print_json({"model": model, "drifts": rows})
    elif rows:
        print_table([list(row.values()) for row in rows], header=list(rows[0]))
    else:
        print_facts({model: f"ledger, MLflow{' and server' if serving else ''} agree"})
    if not all(drift.repaired for drift in drifts):
        raise typer.Exit(ExitCode.DIFFERS)


def grants(
    model: ModelArgument,
    trainer: Annotated[
        list[str] | None, typer.Option(help="User who trains; several times.", show_default=False)
    ] = None,
    reviewer: Annotated[
        list[str] | None, typer.Option(help="User who reviews; several times.", show_default=False)
    ] = None,
    promoter: Annotated[
        list[str] | None, typer.Option(help="User who promotes; several times.", show_default=False)
    ] = None,
    dry_run: DryRunOption = False,
    output: OutputOption = "table",
) -> None:
    """Give people their rights in MLflow, as its admin.

    Trainers write candidates, the promoter alone the model, reviewers read.
    """
    with work_on_stderr():
        from dataclasses import asdict

        from umo import grants as rights

        registry, _ = connect(None)
        planned = rights.plan(
            model, trainers=trainer or (), reviewers=reviewer or (), promoters=promoter or ()
        )
        rows = [asdict(grant) for grant in rights.apply(registry, planned, dry_run=dry_run)]
    if output == "json":
        print_json({"model": model, "dry_run": dry_run, "grants": rows})
    else:
        print_table([list(row.values()) for row in rows], header=list(rows[0]))


def keygen(
    path: Annotated[
        Path, typer.Argument(help="File for the private key; the public one gets .pub.")
    ],
    output: OutputOption = "table",
) -> None:
    """Make a key pair for signatures.

    UMO_SIGNING_KEY names the private key when a candidate is submitted, UMO_VERIFY_KEY the public
    keys whose signatures count when it is promoted or verified.
    """
    with work_on_stderr():
        from umo.signing import SIGNING_KEY, VERIFY_KEY
        from umo.signing import keygen as make

        fingerprint = make(path)
    facts = {
        "fingerprint": fingerprint,
        SIGNING_KEY: f"file:{path.resolve()}",
        VERIFY_KEY: f"file:{path.resolve()}.pub",
    }
    print_result(facts, output)


def _reconcile_server(
    path: Path, registry: "Registry", ledger: "Ledger", model: str, *, dry_run: bool
) -> "list[Drift]":
    from dataclasses import replace

    from umo_serving.deployer import Deployer, drift
    from umo_serving.folder import Folder

    folder = Folder(path.resolve())
    found = drift(folder, ledger, model)
    if found is None:
        return []
    if dry_run:
        return [found]
    Deployer(folder, registry, ledger, model).once()
    return [replace(found, repaired=True)]
