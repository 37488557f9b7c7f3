"""`umo models`: what there is, what became of it, and whether it is as it was."""

import os
from datetime import UTC, datetime, time
from itertools import chain, groupby
from pathlib import Path
from typing import Annotated, Any

import typer

from umo.errors import ExitCode, UsageError
from umo_cli.model_options import (
    AsOfOption,
    ModelArgument,
    RunOption,
    VersionArgument,
    connect,
    names_of,
    number_of,
)
from umo_cli.options import OutputOption
from umo_cli.output import print_facts, print_json, print_table, work_on_stderr

SHORT = 12
"""Digits of a digest in a table."""


def list_models(
    model: Annotated[
        str | None, typer.Argument(help="Name of a model.", show_default="all")
    ] = None,
    as_of: AsOfOption = None,
    run: RunOption = None,
    output: OutputOption = "table",
) -> None:
    """List candidates, their states and the champion."""
    moment = _moment(as_of)
    with work_on_stderr():
        from umo.promotion.view import listing

        registry, ledger = connect(run)
        names = names_of(registry, model)
        found = [listing(registry, ledger, name, moment) for name in names]
    if output == "json":
        print_json({"as_of": as_of, "models": found})
        return
    rows = [
        [
            listed["model"],
            version["version"],
            version["alias"],
            version["state"],
            version["weights"][:SHORT],
            ", ".join(version["trainers"]),
            version["decided_by"],
        ]
        for listed in found
        for version in listed["versions"]
    ]
    header = ["model", "version", "alias", "state", "weights", "trained by", "decided by"]
    print_table(rows, header=header) if rows else print_facts({"models": "none"})


def show(
    model: ModelArgument,
    version: VersionArgument,
    save: Annotated[
        Path | None,
        typer.Option(help="Folder to copy report and model card to.", show_default=False),
    ] = None,
    run: RunOption = None,
    output: OutputOption = "table",
) -> None:
    """Show a candidate's gates, decisions and report.

    The digest of the report is what an approval names.
    """
    with work_on_stderr():
        import shutil

        from umo.promotion.view import facts, review_of

        registry, ledger = connect(run)
        number = number_of(registry, ledger, model, version)
        found = facts(registry, ledger, model, number)
        if save:
            with review_of(registry, ledger, model, number) as review:
                shutil.copytree(review, save, dirs_exist_ok=True)
    if output == "json":
        print_json(found)
        return
    if found["gates"]:
        print_table(
            [[g["outcome"], g["gate"], g["threshold"], g["measured"]] for g in found["gates"]],
            header=["", "gate", "threshold", "measured"],
        )
    plain = {key: value for key, value in found.items() if isinstance(value, str | int) and value}
    print_facts({**plain, "trainers": ", ".join(found["trainers"])})
    print()
    _print_history(found["history"])


def diff(
    model: ModelArgument,
    version: VersionArgument,
    other: Annotated[str, typer.Argument(help="What to compare it with.")] = "champion",
    run: RunOption = None,
    output: OutputOption = "table",
) -> None:
    """Compare settings, inputs and scores of two candidates."""
    with work_on_stderr():
        from umo.promotion.view import difference

        registry, ledger = connect(run)
        first, second = (number_of(registry, ledger, model, text) for text in (other, version))
        found = difference(registry, model, (first, second))
    if output == "json":
        print_json({"model": model, "versions": [first, second], "differs": found})
    elif found:
        print_table(
            [[key, *pair] for key, pair in found.items()], header=["", str(first), str(second)]
        )
    else:
        print_facts({f"{model} {first} and {second}": "the same"})


def history(
    model: ModelArgument,
    as_of: AsOfOption = None,
    run: RunOption = None,
    output: OutputOption = "table",
) -> None:
    """Show who did what, when and why.

    With a date: who was champion then, who decided it and why.
    """
    moment = _moment(as_of)
    with work_on_stderr():
        from dataclasses import asdict

        from umo.promotion.view import crowned

        registry, ledger = connect(run)
        names_of(registry, model)
        events = ledger.events(model, moment)
    champion, rows = crowned(events), [asdict(event) for event in events]
    if output == "json":
        print_json(
            {
                "model": model,
                "as_of": as_of,
                "champion": champion,
                "events": rows,
            }
        )
        return
    _print_history(rows)
    print_facts({"champion": "none"} if champion is None else champion)


def card(
    model: ModelArgument,
    version: VersionArgument,
    run: RunOption = None,
    output: OutputOption = "table",
) -> None:
    """Print the model card of a submitted candidate."""
    with work_on_stderr():
        from umo.promotion.view import review_of
        from umo.review.card import NAME

        registry, ledger = connect(run)
        number = number_of(registry, ledger, model, version)
        with review_of(registry, ledger, model, number) as review:
            text = (review / NAME).read_text(encoding="utf-8")
    if output == "json":
        print_json({"model": model, "card": text})
    else:
        print(text, end="")


def verify(
    model: Annotated[
        str | None, typer.Argument(help="Name of a model.", show_default="all")
    ] = None,
    run: RunOption = None,
    output: OutputOption = "table",
) -> None:
    """Hash every file and every row of the ledger again.

    Exit code 5 if something was changed; each line names what.
    """
    with work_on_stderr():
        from umo import signing
        from umo.promotion import verify as faults_of

        registry, ledger = connect(run)
        keys = os.environ.get(signing.VERIFY_KEY, "")
        names = names_of(registry, model)
        found = [faults_of(registry, ledger, name, keys=keys) for name in names]
        faults = list(dict.fromkeys([*ledger.verify(), *chain.from_iterable(found)]))
    if output == "json":
        print_json({"models": names, "faults": faults})
    else:
        for fault in faults:
            print(fault)
        if not faults:
            print_facts({", ".join(names) or "no models": "every file and every row is as it was"})
    if faults:
        raise typer.Exit(ExitCode.DIFFERS)


def _moment(text: str | None) -> datetime | None:
    """The end of a day, or a time, in UTC if it names no other zone."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"--as-of {text!r} is no date", hint="for example 2026-11-22 or 2026-11-22T18:30"
        ) from None
    if "T" not in text and ":" not in text:
        moment = datetime.combine(moment, time.max)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _print_history(events: list[dict[str, Any]]) -> None:
    """Print a row for each event, one for all gates of a submission."""
    rows = []
    for (manifest, _), group in groupby(events, key=_submission):
        first, *more = group
        what, why = first["kind"], first["reason"]
        if manifest:
            verdicts = [first, *more]
            failed = [e["details"]["gate"] for e in verdicts if e["kind"] == "gate_failed"]
            what = "gates failed" if failed else "gates passed"
            why = ", ".join(failed) or f"all {len(verdicts)}"
        elif what in ("refused", "waived"):
            what = f"{what} ({first['details'].get('action') or first['details']['gate']})"
        at = first["at"][:16].replace("T", " ")
        rows.append([first["seq"], at, what, first["version"], first["actor"], why])
    if rows:
        print_table(rows, header=["row", "at (UTC)", "event", "version", "by", "why"])


def _submission(event: dict[str, Any]) -> tuple[str, int]:
    """What the gates of one submission have in common; any other event is alone."""
    gate = event["kind"] in ("gate_passed", "gate_failed")
    return (event["details"]["manifest"], 0) if gate else ("", event["seq"])
