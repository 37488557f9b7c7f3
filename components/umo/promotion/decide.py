"""What a person decides on a candidate: to approve it, to reject it, to let a gate pass."""

from umo.errors import DeniedError, DiffersError, UsageError
from umo.ledger import Event, Ledger
from umo.promotion.case import REVIEW, Case, refusals_recorded
from umo.promotion.verify import stored_faults
from umo.registry import Registry
from umo.review.policy import Policy, check_waivable

SHORTEST = 12
"""Digits of a digest that name a report."""


def approve(
    registry: Registry,
    ledger: Ledger,
    name: str,
    number: int,
    *,
    actor: str,
    report: str,
    reason: str,
    dry_run: bool = False,
) -> Event | None:
    """Approve a candidate that somebody else trained, for the report that was read.

    Args:
        registry: Where the candidate is.
        ledger: Where the decision goes.
        name: Model name.
        number: Version of the candidate.
        actor: Who approves.
        report: Digest of the report that was read, or its first digits.
        reason: Why.
        dry_run: Only check.

    Returns:
        The approval, an older one if it says the same; nothing in a dry run.

    Raises:
        DeniedError: It is the approver's own model, or was not submitted.
        DiffersError: Another report was read than the one that was submitted and is stored.
        NotFoundError: There is no such version.
        UsageError: There is no reason.
    """
    _require_reason(reason)
    case = Case.open(registry, ledger, name, number)
    with refusals_recorded(ledger, case.refused(actor, "approve"), dry_run=dry_run):
        _refuse_own(case, actor, "approve")
        submitted = case.progress.submitted
        if submitted is None:
            raise DeniedError(
                f"{case.title} is {case.progress.state}, not submitted",
                hint=f"its trainer runs `umo models submit {case.title}`",
            )
        if len(report) < SHORTEST or not submitted.report.startswith(report.lower()):
            raise DiffersError(
                f"you read the report {report or '(none)'}, submitted is {submitted.report}",
                hint=f"read that one, see `umo models show {case.title}`",
            )
        recorded = [submitted.details["manifest"]]
        faults = stored_faults(registry, case.version.run, REVIEW, recorded=recorded)
        if faults:
            raise DiffersError(
                f"the report of {case.title} was changed since: {faults[0]}",
                hint=f"submit it again: `umo models submit {case.title}`",
            )
        known = case.progress.approval
        if known and (known.actor, known.reason) == (actor, reason):
            return known
        entry = case.entry("approved", actor, report=submitted.report, reason=reason)
        return None if dry_run else ledger.extend([entry])[0]


def reject(
    registry: Registry,
    ledger: Ledger,
    name: str,
    number: int,
    *,
    actor: str,
    reason: str,
    dry_run: bool = False,
) -> Event | None:
    """Reject a candidate, or revoke its approval.

    Returns:
        The decision, an older one if it says the same; nothing in a dry run.

    Raises:
        NotFoundError: There is no such version.
        UsageError: There is no reason.
    """
    _require_reason(reason)
    case = Case.open(registry, ledger, name, number)
    known, submitted = case.progress.decision, case.progress.submitted
    if known and known.kind != "approved" and (known.actor, known.reason) == (actor, reason):
        return known
    entry = case.entry(
        "revoked" if case.progress.approval else "rejected",
        actor,
        report=submitted.report if submitted else "",
        reason=reason,
    )
    return None if dry_run else ledger.extend([entry])[0]


def waive(
    registry: Registry,
    ledger: Ledger,
    name: str,
    number: int,
    *,
    gate: str,
    policy: Policy,
    actor: str,
    reason: str,
    dry_run: bool = False,
) -> Event | None:
    """Let one gate pass for a candidate that somebody else trained; it counts when submitted.

    Returns:
        The waiver; nothing in a dry run.

    Raises:
        DeniedError: It is the actor's own model.
        NotFoundError: There is no such version.
        UsageError: There is no reason, no such gate, or none that the policy lets waive.
    """
    _require_reason(reason)
    check_waivable(policy, gate)
    case = Case.open(registry, ledger, name, number)
    with refusals_recorded(ledger, case.refused(actor, "waive"), dry_run=dry_run):
        _refuse_own(case, actor, "waive a gate of")
        entry = case.entry("waived", actor, reason=reason, details={"gate": gate})
        return None if dry_run else ledger.extend([entry])[0]


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise UsageError("a decision needs a reason", hint="give it with --reason")


def _refuse_own(case: Case, actor: str, what: str) -> None:
    if actor in case.progress.trainers:
        raise DeniedError(
            f"{actor} trained or submitted {case.title} and cannot {what} it",
            hint="ask somebody else to review it",
        )
