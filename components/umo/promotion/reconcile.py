"""Reconciliation: what MLflow shows against what the ledger says, and making them agree."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial

from umo.ledger import Event, Ledger
from umo.ledger.history import Reign
from umo.promotion.change import settle
from umo.promotion.steps import Change, copy, move, wanted_aliases
from umo.registry import Registry

Repair = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Drift:
    """One thing that is not as the ledger says."""

    what: str
    """What differs."""
    ledger: str
    """What the ledger says."""
    found: str
    """What is there."""
    repair: str
    """What makes them agree; nothing if only a person can."""
    repaired: bool = False
    """Whether that was done."""


def reconcile(
    registry: Registry, ledger: Ledger, name: str, *, actor: str, dry_run: bool = False
) -> list[Drift]:
    """Find what differs between ledger and MLflow and make MLflow agree with the ledger.

    An open change is completed or undone first. Aliases and lost copies are put right; a version
    that the ledger never heard of is left to a person.

    Args:
        registry: MLflow.
        ledger: The truth.
        name: Model name.
        actor: Who repairs.
        dry_run: Only report.

    Returns:
        What differed; nothing if all agrees.

    Raises:
        DeniedError: MLflow does not let this user repair it.
        DiffersError: A lost copy cannot be made again, its candidate was changed.
    """
    with ledger.promotion(name):
        drifts = []
        for drift, repair in _drifts(registry, ledger, name, actor):
            if repair and not dry_run:
                repair()
                drifts.append(replace(drift, repaired=True))
            else:
                drifts.append(drift)
        repaired = [asdict(drift) for drift in drifts if drift.repaired]
        if repaired:
            champion = ledger.champion(name)
            ledger.append(
                "reconciled",
                actor=actor,
                model=name,
                version=champion.version if champion else 0,
                weights=champion.weights if champion else "",
                details={"repaired": repaired},
            )
    return drifts


def _drifts(
    registry: Registry, ledger: Ledger, name: str, actor: str
) -> Iterator[tuple[Drift, Repair | None]]:
    """What differs, with its repair; the caller repairs before it asks for the next."""
    pending = ledger.reign(name).pending
    if pending:
        drift = Drift(
            what="change of champion",
            ledger=f"{pending} means to make {pending.version} the champion",
            found="neither finished nor undone",
            repair="finish it if the alias champion has moved, else undo it",
        )
        yield drift, lambda: settle(registry, ledger, name, actor=actor)
    reign = ledger.reign(name)
    intents = {event.seq: event for event in ledger.events(name, kind="intended")}
    yield from _lost(registry, ledger, reign, intents)
    yield from _aliases(registry, name, reign)
    known = {intent.hash for intent in intents.values()}
    for version in registry.versions(name):
        if version.intent not in known:
            drift = Drift(
                what=version.title,
                ledger="never heard of it",
                found=f"weights {version.digest or '(none)'}",
                repair="",
            )
            yield drift, None


def _lost(
    registry: Registry, ledger: Ledger, reign: Reign, intents: Mapping[int, Event]
) -> Iterator[tuple[Drift, Repair]]:
    for event in (reign.champion, reign.previous):
        if event and event.closes and registry.find(event.model, event.weights) is None:
            change = Change(registry=registry, ledger=ledger, intent=intents[event.closes], keys="")
            drift = Drift(
                what=f"copy of candidate {event.version}",
                ledger=f"weights {event.weights}",
                found="no version",
                repair="copy the candidate again",
            )
            yield drift, partial(copy, change)


def _aliases(registry: Registry, name: str, reign: Reign) -> Iterator[tuple[Drift, Repair]]:
    aliases = registry.aliases(name)
    known = [version for version in registry.versions(name) if version.digest]
    numbers = {version.digest: version.version for version in reversed(known)}
    for alias, weights in wanted_aliases(reign).items():
        wanted, found = numbers.get(weights), aliases.get(alias)
        if wanted != found:
            drift = Drift(
                what=f"alias {alias}",
                ledger=f"version {wanted}" if wanted else "none",
                found=f"version {found}" if found else "none",
                repair="move it" if wanted else "remove it",
            )
            yield drift, partial(move, registry, name, alias, weights)
