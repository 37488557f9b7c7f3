"""A change of champion: promotion and roll-back, in steps that may be killed and run again.

The ledger is the lock and the truth, MLflow's aliases follow it. A change first says in the ledger
what it means to do, an `intended` row, then takes the steps of `PROMOTION` or `ROLLBACK`, each of
which does nothing when it was done before, and then closes the intention with `promoted` or
`rolled_back`. A row can be closed once only, so of two processes that think they finish a change
one is refused. Whoever comes after a killed process first completes its change if the alias
`champion` has moved, else undoes it.
"""

from contextlib import suppress
from typing import Any

from umo.errors import DeniedError, DiffersError, UmoError, UsageError
from umo.ledger import Entry, Event, Ledger
from umo.ledger.history import Reign
from umo.promotion.case import Case, refusals_recorded
from umo.promotion.steps import STEPS, Change, crown, move, refuse_faults, wanted_aliases
from umo.promotion.verify import candidate_faults
from umo.registry import CHAMPION, Registry

NO_CHAMPION = 0
"""Expected champion of a model that has none."""


def promote(
    registry: Registry,
    ledger: Ledger,
    name: str,
    number: int,
    *,
    actor: str,
    expected: int | None = None,
    keys: str = "",
    dry_run: bool = False,
) -> Event | None:
    """Make an approved candidate the champion, or find that it is.

    Args:
        registry: Where the candidate is, and where the champion goes.
        ledger: Holds the lock.
        name: Model name.
        number: Version of the candidate.
        actor: Who promotes.
        expected: Candidate that must be champion now, `NO_CHAMPION` for none; None for any.
        keys: Reference of the public keys that must have signed; nothing if none must.
        dry_run: Only check.

    Returns:
        The promotion; nothing in a dry run.

    Raises:
        DeniedError: It is not approved by somebody else, or MLflow does not let this user.
        DiffersError: Another champion than the expected one, or a byte was changed.
        NotFoundError: There is no such version.
    """
    with ledger.promotion(name):
        case = Case.open(registry, ledger, name, number)
        with refusals_recorded(ledger, case.refused(actor, "promote"), dry_run=dry_run):
            if not dry_run:
                settle(registry, ledger, name, actor=actor)
            reign = ledger.reign(name)
            if reign.weights == case.version.digest:
                return reign.champion
            _expect(reign, name, expected)
            approval, submitted = _approval(case)
            intent = case.entry(
                "intended",
                actor,
                report=approval.report,
                reason=approval.reason,
                previous=reign.weights,
                details={
                    "action": "promoted",
                    "manifest": case.manifest,
                    "review": submitted.details["manifest"],
                    "approver": approval.actor,
                    "previous": reign.weights,
                },
            )
            if dry_run:
                refuse_faults(candidate_faults(registry, case, keys=keys))
                return None
            return _carry_out(registry, ledger, intent, keys=keys)


def rollback(
    registry: Registry,
    ledger: Ledger,
    name: str,
    *,
    actor: str,
    reason: str,
    expected: int | None = None,
    keys: str = "",
    dry_run: bool = False,
) -> Event | None:
    """Make the champion before the champion again, the last one that was not revoked.

    Args:
        registry: Where the versions are.
        ledger: Holds the lock.
        name: Model name.
        actor: Who rolls back.
        reason: Why.
        expected: Candidate that must be champion now; None for any.
        keys: Reference of the public keys that must have signed; nothing if none must.
        dry_run: Only check.

    Returns:
        The roll-back; nothing in a dry run.

    Raises:
        DeniedError: There was no champion before, or MLflow does not let this user.
        DiffersError: Another champion than the expected one, or a byte was changed.
        UsageError: There is no reason.
    """
    if not reason.strip():
        raise UsageError("a roll-back needs a reason", hint="give it with --reason")
    with ledger.promotion(name):
        if not dry_run:
            settle(registry, ledger, name, actor=actor)
        reign = ledger.reign(name)
        champion = reign.champion
        if champion is None:
            raise DeniedError(f"{name} has no champion", hint="promote one: `umo models promote`")
        refused = _about(champion, "refused", actor, details={"action": "rollback"})
        with refusals_recorded(ledger, refused, dry_run=dry_run):
            _expect(reign, name, expected)
            target, below = _earlier(ledger, reign)
            intent = _about(
                target,
                "intended",
                actor,
                report=target.report,
                reason=reason,
                previous=reign.weights,
                details={
                    **target.details,
                    "action": "rolled_back",
                    "restores": target.seq,
                    "previous": below,
                },
            )
            if dry_run:
                return None
            return _carry_out(registry, ledger, intent, keys=keys)


def settle(registry: Registry, ledger: Ledger, name: str, *, actor: str) -> Event | None:
    """Complete what a killed process left if its champion is set, else undo it.

    The caller holds the lock.

    Returns:
        The row that closes the intention; nothing if none was open.

    Raises:
        UmoError: MLflow fails or does not let this user; the intention stays open.
    """
    reign = ledger.reign(name)
    if reign.pending is None:
        return None
    change = Change(registry=registry, ledger=ledger, intent=reign.pending, keys="")
    version = change.copy
    if version and registry.aliases(name).get(CHAMPION) == version.version:
        steps = STEPS[change.action]
        for step in steps[steps.index(crown) :]:
            step(change)
        return _close(change, change.action, actor)
    for alias, weights in wanted_aliases(reign).items():
        move(registry, name, alias, weights)
    return _close(change, "abandoned", actor)


def _carry_out(registry: Registry, ledger: Ledger, intent: Entry, *, keys: str) -> Event:
    change = Change(registry=registry, ledger=ledger, intent=ledger.extend([intent])[0], keys=keys)
    try:
        for step in STEPS[change.action]:
            step(change)
    except UmoError:
        with suppress(UmoError):
            settle(registry, ledger, intent.model, actor=intent.actor)
        raise
    return _close(change, change.action, intent.actor)


def _close(change: Change, kind: str, actor: str) -> Event:
    intent = change.intent
    details = {**intent.details, "copy": change.copy.version if change.copy else None}
    return change.ledger.extend(
        [
            _about(
                intent,
                kind,
                actor,
                report=intent.report,
                reason=intent.reason,
                previous=intent.previous,
                details=details,
                closes=intent.seq,
            )
        ]
    )[0]


def _about(event: Event, kind: str, actor: str, **fields: Any) -> Entry:
    """An entry on the version of another event."""
    return Entry(
        kind=kind,
        actor=actor,
        model=event.model,
        version=event.version,
        weights=event.weights,
        **fields,
    )


def _expect(reign: Reign, name: str, expected: int | None) -> None:
    now = reign.champion.version if reign.champion else NO_CHAMPION
    if expected is not None and expected != now:
        raise DiffersError(
            f"the champion of {name} is {now or 'nobody'}, you expected {expected or 'nobody'}",
            hint=f"look at `umo models history {name}`, then decide again",
        )


def _approval(case: Case) -> tuple[Event, Event]:
    """The approval that holds, by somebody who did not train it, and what it approved."""
    approval, submitted = case.progress.approval, case.progress.submitted
    if approval is None or submitted is None:
        raise DeniedError(
            f"{case.title} is {case.progress.state}, not approved",
            hint=f"a reviewer reads its report, then `umo models approve {case.title}`",
        )
    if approval.actor in case.progress.trainers:
        raise DeniedError(
            f"{case.title} was approved by {approval.actor}, who trained or submitted it",
            hint="ask somebody else to review it",
        )
    return approval, submitted


def _earlier(ledger: Ledger, reign: Reign) -> tuple[Event, str]:
    """The last champion before this one that was not revoked, and the weights before it."""
    champions = reign.champions
    for index in range(len(champions) - 2, -1, -1):
        target = champions[index]
        decision = ledger.progress(target.model, target.weights).decision
        if not (decision and decision.kind == "revoked"):
            return target, champions[index - 1].weights if index else ""
    model = champions[-1].model
    raise DeniedError(
        f"{model} has no earlier champion to go back to",
        hint=f"approve and promote another version, see `umo models list {model}`",
    )
