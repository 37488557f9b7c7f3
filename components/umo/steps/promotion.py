"""Steps of a promotion: judge a candidate and hand it in, wait for its reviewer, promote it.

MLflow, the ledger and the keys are those of the environment, so that each step acts as the user
whose environment it has.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from umo import promotion, signing
from umo.errors import DeniedError, DiffersError, ExitCode, UmoError
from umo.ledger import Event, Ledger
from umo.promotion.case import Case
from umo.registry import Registry
from umo.review.policy import Policy
from umo.steps.journal import Outcome, Progress, ignore
from umo.steps.layout import Layout
from umo.store import Store
from umo.tracking import actor

POLL_SECONDS = 5.0


@dataclass(frozen=True)
class Desk:
    """Where candidates of the run folder's environment are decided on, and who acts."""

    registry: Registry
    ledger: Ledger
    actor: str

    @classmethod
    def open(cls, layout: Layout) -> "Desk":
        """Connect to MLflow and the ledger.

        Raises:
            DeniedError: MLflow does not know the user.
        """
        store = Store.of_run(layout.out)
        return cls(Registry(store), Ledger(store.ledger), actor(store))


def submit(name: str, number: int, *, policy: Policy, base: Path | None, layout: Layout) -> Outcome:
    """Judge a candidate by the gates and hand its report to the reviewers, unless it is approved.

    Args:
        name: Model name.
        number: Version of the candidate.
        policy: The gates' thresholds.
        base: Folder of its base; None for the embedded one.
        layout: The run folder, whose datasets are evidence where they are there.

    Returns:
        An outcome with the digest of the report.

    Raises:
        DeniedError: A gate failed.
    """
    desk = Desk.open(layout)
    progress = Case.open(desk.registry, desk.ledger, name, number).progress
    if progress.approval:
        return Outcome(folder=layout.out, digest=progress.approval.report, reused=True)
    submission = promotion.submit(
        desk.registry,
        desk.ledger,
        name,
        number,
        actor=desk.actor,
        policy=policy,
        data=_present(layout.data("tune")),
        held_out=_present(layout.data("held-out")),
        base=base,
        key=os.environ.get(signing.SIGNING_KEY, ""),
    )
    return Outcome(
        folder=layout.out, digest=submission.report, reused=submission.event == progress.submitted
    )


def wait(
    name: str,
    number: int,
    *,
    report: str,
    hours: float,
    layout: Layout,
    progress: Progress = ignore,
) -> Outcome:
    """Wait until a reviewer has decided on a report.

    Args:
        name: Model name.
        number: Version of the candidate.
        report: Digest of the report that was handed in.
        hours: How long to wait.
        layout: The run folder.
        progress: Told how much of the time has passed.

    Returns:
        An outcome with the hash of the approval's row.

    Raises:
        DeniedError: It was rejected.
        DiffersError: Another report was handed in since.
        UmoError: Nobody decided in time; waiting again is worth it.
    """
    desk = Desk.open(layout)
    started, limit = time.monotonic(), hours * 3600
    first = True
    while True:
        approval = _decision(desk, name, number, report)
        waited = time.monotonic() - started
        if approval:
            return Outcome(folder=layout.out, digest=approval.hash, reused=first)
        if waited >= limit:
            raise UmoError(
                f"nobody decided on {name} {number} within {hours:g} hours",
                hint=f"ask a reviewer to read it (`umo models show {name} {number}`), "
                "then run the same command again",
                exit_code=ExitCode.INTERRUPTED,
                retryable=True,
            )
        first = False
        progress({"done": round(waited), "total": round(limit), "phase": "for a reviewer"})
        time.sleep(min(POLL_SECONDS, limit - waited))


def promote(name: str, number: int, *, layout: Layout) -> Outcome:
    """Make an approved candidate the champion.

    Returns:
        An outcome with the digest of its weights.

    Raises:
        DeniedError: It is not approved, or MLflow does not let this user.
        DiffersError: A byte was changed.
    """
    desk = Desk.open(layout)
    weights = desk.registry.candidate(name, number).digest
    known = desk.ledger.reign(name).weights
    promotion.promote(
        desk.registry,
        desk.ledger,
        name,
        number,
        actor=desk.actor,
        keys=os.environ.get(signing.VERIFY_KEY, ""),
    )
    return Outcome(folder=layout.out, digest=weights, reused=known == weights)


def _decision(desk: Desk, name: str, number: int, report: str) -> Event | None:
    """The approval of a report, if there is one yet."""
    case = Case.open(desk.registry, desk.ledger, name, number)
    submitted, decision = case.progress.submitted, case.progress.decision
    if submitted is None or submitted.report != report:
        raise DiffersError(
            f"the report of {case.title} is {submitted.report if submitted else 'not there'}, "
            f"this promotion waits for {report}",
            hint="start the promotion of the new report",
        )
    if decision and decision.kind != "approved":
        raise DeniedError(
            f"{case.title} was {decision.kind} by {decision.actor}: {decision.reason}",
            hint="train or evaluate it again, then submit it",
        )
    return decision


def _present(folder: Path) -> Path | None:
    return folder if folder.is_dir() else None
