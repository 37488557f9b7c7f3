"""`umo models`: what people decide on the way from a candidate to the champion."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from umo_cli import model_admin, model_release, model_views
from umo_cli.model_options import (
    DryRunOption,
    ExpectedOption,
    ModelArgument,
    ReasonOption,
    RunOption,
    VersionArgument,
    connect,
    names_of,
    number_of,
)
from umo_cli.options import HelpOption, OutputOption
from umo_cli.output import print_facts, print_json, print_table, work_on_stderr

if TYPE_CHECKING:
    from umo.ledger import Event
    from umo.promotion.submit import Submission
    from umo_cli.options import Format

app = typer.Typer(add_help_option=False, rich_markup_mode=None)


@app.callback()
def models(help_wanted: HelpOption = False) -> None:
    """Review, promote and roll back registered models, with a memory of who decided what."""


app.command("list")(model_views.list_models)
app.command("show")(model_views.show)
app.command("diff")(model_views.diff)
app.command("history")(model_views.history)
app.command("card")(model_views.card)
app.command("verify")(model_views.verify)
app.command("release")(model_release.release)
app.command("reconcile")(model_admin.reconcile)
app.command("grants")(model_admin.grants)
app.command("keygen")(model_admin.keygen)


@app.command()
def submit(
    model: ModelArgument,
    version: VersionArgument,
    policy: Annotated[
        Path | None,
        typer.Option(help="YAML file with gates.", show_default="the shipped policy"),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Dataset it was tuned on.", show_default="that of the run folder"),
    ] = None,
    held_out: Annotated[
        Path | None,
        typer.Option(help="Dataset it was judged on.", show_default="that of the run folder"),
    ] = None,
    base: Annotated[
        Path | None, typer.Option(help="Folder of its base.", show_default="the embedded one")
    ] = None,
    run: RunOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = "table",
) -> None:
    """Judge a candidate and hand its report to the reviewers.

    Exit code 4 if a gate fails; the verdicts are printed all the same.
    """
    from umo.promotion import GateError

    try:
        with work_on_stderr():
            from umo import promotion, signing
            from umo.review.policy import load_policy
            from umo.tracking import actor

            registry, ledger = connect(run)
            out = registry.store.file.parent if registry.store.file else None
            submission = promotion.submit(
                registry,
                ledger,
                model,
                number_of(registry, ledger, model, version),
                actor=actor(registry.store),
                policy=load_policy(policy),
                data=data or _dataset(out, "tune"),
                held_out=held_out or _dataset(out, "held-out"),
                base=base,
                key=os.environ.get(signing.SIGNING_KEY, ""),
                dry_run=dry_run,
            )
    except GateError as error:
        _print_submission(error.submission, output, dry_run=dry_run)
        raise
    _print_submission(submission, output, dry_run=dry_run)


@app.command()
def approve(
    model: ModelArgument,
    version: VersionArgument,
    report: Annotated[str, typer.Option(help="Digest of the report you read.", show_default=False)],
    reason: ReasonOption,
    run: RunOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = "table",
) -> None:
    """Approve somebody else's candidate after reading its report."""
    with work_on_stderr():
        from umo import promotion
        from umo.tracking import actor

        registry, ledger = connect(run)
        event = promotion.approve(
            registry,
            ledger,
            model,
            number_of(registry, ledger, model, version),
            actor=actor(registry.store),
            report=report,
            reason=reason,
            dry_run=dry_run,
        )
    _print_event(event, output, would="approve it")


@app.command()
def reject(
    model: ModelArgument,
    version: VersionArgument,
    reason: ReasonOption,
    run: RunOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = "table",
) -> None:
    """Reject a candidate, or revoke its approval."""
    with work_on_stderr():
        from umo import promotion
        from umo.tracking import actor

        registry, ledger = connect(run)
        event = promotion.reject(
            registry,
            ledger,
            model,
            number_of(registry, ledger, model, version),
            actor=actor(registry.store),
            reason=reason,
            dry_run=dry_run,
        )
    _print_event(event, output, would="reject it")


@app.command()
def waive(
    model: ModelArgument,
    version: VersionArgument,
    gate: Annotated[str, typer.Argument(help="Name of the gate.", show_default=False)],
    reason: ReasonOption,
    policy: Annotated[
        Path | None,
        typer.Option(help="YAML file with gates.", show_default="the shipped policy"),
    ] = None,
    run: RunOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = "table",
) -> None:
    """Let one gate pass for somebody else's candidate.

    It counts when the candidate is submitted again.
    """
    with work_on_stderr():
        from umo import promotion
        from umo.review.policy import load_policy
        from umo.tracking import actor

        registry, ledger = connect(run)
        event = promotion.waive(
            registry,
            ledger,
            model,
            number_of(registry, ledger, model, version),
            gate=gate,
            policy=load_policy(policy),
            actor=actor(registry.store),
            reason=reason,
            dry_run=dry_run,
        )
    _print_event(event, output, would="waive the gate")


@app.command()
def promote(
    model: ModelArgument,
    version: VersionArgument,
    expected: ExpectedOption = None,
    run: RunOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = "table",
) -> None:
    """Make an approved candidate the champion.

    Every file is verified before it is copied. After a promotion that was killed, the next one
    finishes or undoes what was begun.
    """
    with work_on_stderr():
        from umo import promotion, signing
        from umo.tracking import actor

        registry, ledger = connect(run)
        event = promotion.promote(
            registry,
            ledger,
            model,
            number_of(registry, ledger, model, version),
            actor=actor(registry.store),
            expected=expected,
            keys=os.environ.get(signing.VERIFY_KEY, ""),
            dry_run=dry_run,
        )
    _print_event(event, output, would="make it the champion")


@app.command()
def rollback(
    model: ModelArgument,
    reason: ReasonOption,
    expected: ExpectedOption = None,
    run: RunOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = "table",
) -> None:
    """Make the champion before the champion again."""
    with work_on_stderr():
        from umo import promotion, signing
        from umo.tracking import actor

        registry, ledger = connect(run)
        names_of(registry, model)
        event = promotion.rollback(
            registry,
            ledger,
            model,
            actor=actor(registry.store),
            reason=reason,
            expected=expected,
            keys=os.environ.get(signing.VERIFY_KEY, ""),
            dry_run=dry_run,
        )
    _print_event(event, output, would="go back to the champion before")


def _dataset(out: Path | None, split: str) -> Path | None:
    """A dataset of the run folder `out`, if it is there."""
    folder = out / "data" / split if out else None
    return folder if folder and folder.is_dir() else None


def _print_submission(submission: "Submission", output: "Format", *, dry_run: bool) -> None:
    from dataclasses import asdict

    if output == "json":
        event = asdict(submission.event) if submission.event else None
        verdicts = [asdict(verdict) for verdict in submission.verdicts]
        print_json({"report": submission.report, "verdicts": verdicts, "event": event})
        return
    print_table(
        [[v.word, v.gate, v.threshold, v.measured] for v in submission.verdicts],
        header=["", "gate", "threshold", "measured"],
    )
    facts: dict[str, Any] = {"report": submission.report}
    if submission.event:
        about = f"{submission.event.model} {submission.event.version}"
        facts["next"] = f"a reviewer reads it: `umo models show {about}`"
    print_facts(facts if not dry_run else {**facts, "dry run": "nothing was stored"})


def _print_event(event: "Event | None", output: "Format", *, would: str) -> None:
    from dataclasses import asdict

    if output == "json":
        print_json({"event": asdict(event) if event else None})
    elif event is None:
        print_facts({"dry run": f"nothing stands against it; would {would}"})
    else:
        facts = {
            "event": event.kind,
            "model": f"{event.model} {event.version}",
            "weights": event.weights,
            "by": event.actor,
            "at": event.at,
            "reason": event.reason,
            "row": f"{event.seq} of the ledger",
        }
        print_facts({name: value for name, value in facts.items() if value})
