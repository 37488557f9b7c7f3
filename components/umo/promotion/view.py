"""What a person asks of the models: which there are, what became of each, who decided and why."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from umo.errors import NotFoundError
from umo.ledger import Event, Ledger
from umo.ledger.history import progress, reign
from umo.promotion.case import REVIEW, Case
from umo.promotion.steps import refuse_faults
from umo.promotion.verify import folder_faults
from umo.registry import CHAMPION, PREVIOUS, Registry, candidates
from umo.review import pack

CURVES = "curve."
"""Prefix of the metrics that are curves and not scores."""


def listing(
    registry: Registry, ledger: Ledger, name: str, as_of: datetime | None = None
) -> dict[str, Any]:
    """A model, its champion and its candidates, now or as the ledger knew them at a moment.

    Returns:
        `model`, `champion` (see `crowned`) and `versions`: `version`, `weights`, `state`, `alias`,
        `trainers`, `decided_by`, `reason`, `report`.
    """
    events = ledger.events(name, as_of)
    known = {event.version: event.weights for event in events if event.kind == "registered"}
    if as_of is None:
        known |= {v.version: v.digest for v in registry.versions(candidates(name))}
    versions = [_standing(events, number, known[number]) for number in sorted(known)]
    return {"model": name, "champion": crowned(events), "versions": versions}


def crowned(events: Iterable[Event]) -> dict[str, Any] | None:
    """Who is champion after these events of one model, since when, who decided and why."""
    events = list(events)
    now = reign(events)
    if now.champion is None or now.decided is None:
        return None
    champion, decided = now.champion, now.decided
    return {
        "version": champion.version,
        "weights": champion.weights,
        "copy": champion.details["copy"],
        "since": decided.at,
        "action": decided.kind,
        "decided_by": decided.actor,
        "approved_by": champion.details["approver"],
        "reason": decided.reason,
    }


def facts(registry: Registry, ledger: Ledger, name: str, number: int) -> dict[str, Any]:
    """Everything about one candidate: its standing, digests, gates, and where its report is."""
    case = Case.open(registry, ledger, name, number)
    standing = _standing(ledger.events(name), number, case.version.digest)
    submitted, registered = case.progress.submitted, case.progress.registered
    gates = case.progress.gates
    return {
        "model": name,
        **standing,
        "registered": registered.at if registered else None,
        "manifest": case.manifest,
        "run": case.version.run,
        "files": case.version.uri,
        "submitted": submitted.at if submitted else None,
        "read": registry.address(case.version.run, f"{REVIEW}/{pack.NAME}") if gates else None,
        "gates": [
            {key: value for key, value in event.details.items() if key != "manifest"}
            for event in gates
        ],
        "history": [asdict(event) for event in ledger.events(name) if event.version == number],
    }


@contextmanager
def review_of(registry: Registry, ledger: Ledger, name: str, number: int) -> Iterator[Path]:
    """A copy of a candidate's report and model card, as they were submitted.

    Raises:
        DiffersError: A file was changed since.
        NotFoundError: There is no such version, or it was never submitted.
    """
    case = Case.open(registry, ledger, name, number)
    if not case.progress.gates:
        raise NotFoundError(
            f"{case.title} has no report", hint=f"run `umo models submit {case.title}`"
        )
    with registry.files(case.version.run, REVIEW) as folder:
        recorded = [case.progress.gates[-1].details["manifest"]]
        refuse_faults(folder_faults(folder, REVIEW, recorded=recorded))
        yield folder


def difference(
    registry: Registry, name: str, numbers: tuple[int, int]
) -> dict[str, tuple[str | float | None, str | float | None]]:
    """Settings, inputs and scores that differ between two candidates, by name."""
    first, second = (_record(registry, name, number) for number in numbers)
    return {
        key: (first.get(key), second.get(key))
        for key in dict.fromkeys([*first, *second])
        if first.get(key) != second.get(key)
    }


def _record(registry: Registry, name: str, number: int) -> Mapping[str, str | float]:
    version = registry.candidate(name, number)
    parameters, scores = registry.record(version.run)
    scores = {key: value for key, value in scores.items() if not key.startswith(CURVES)}
    return {"weights": version.digest, **parameters, **scores}


def _standing(events: list[Event], number: int, weights: str) -> dict[str, Any]:
    found, now = progress(events, weights), reign(events)
    alias = ""
    if now.champion and now.champion.weights == weights:
        alias = CHAMPION
    elif now.previous and now.previous.weights == weights:
        alias = PREVIOUS
    return {
        "version": number,
        "weights": weights,
        "state": found.state,
        "alias": alias,
        "trainers": sorted(found.trainers),
        "decided_by": found.decision.actor if found.decision else None,
        "reason": found.decision.reason if found.decision else None,
        "report": found.gates[-1].report if found.gates else None,
    }
