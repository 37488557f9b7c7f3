"""Steps of a promotion: hand a candidate in, wait for its reviewer, promote it, wait for a server.

MLflow, the ledger and the keys are those of the environment, so that each step acts as the user
whose environment it has.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from umo import promotion, signing
from umo.errors import DeniedError, DiffersError, ExitCode, UmoError
from umo.ledger import Event, Ledger
from umo.promotion.case import Case
from umo.promotion.deployment import deployed, refusal
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
    return _await(
        lambda: _decision(desk, name, number, report),
        seconds=hours * 3600,
        late=f"nobody decided on {name} {number} within {hours:g} hours",
        remedy=f"ask a reviewer to read it (`umo models show {name} {number}`)",
        phase="for a reviewer",
        layout=layout,
        progress=progress,
    )


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


def deploy(
    name: str, number: int, *, minutes: float, layout: Layout, progress: Progress = ignore
) -> Outcome:
    """Wait until a deployer has made a server answer with the champion.

    The deployer is a process beside the server, which follows the ledger by itself.

    Args:
        name: Model name.
        number: Version of the candidate that was promoted.
        minutes: How long to wait.
        layout: The run folder.
        progress: Told how much of the time has passed.

    Returns:
        An outcome with the hash of the row `deployed`.

    Raises:
        DeniedError: The deployer refused it.
        DiffersError: Another version is champion since.
        UmoError: No deployer served it in time; waiting again is worth it.
    """
    desk = Desk.open(layout)
    return _await(
        lambda: _deployment(desk, name, number),
        seconds=minutes * 60,
        late=f"no deployer has served {name} {number} within {minutes:g} minutes",
        remedy=f"see that one follows it (`umo serve deploy {name} --follow`)",
        phase="for a deployer",
        layout=layout,
        progress=progress,
    )


def _await(
    look: Callable[[], Event | None],
    *,
    seconds: float,
    late: str,
    remedy: str,
    phase: str,
    layout: Layout,
    progress: Progress,
) -> Outcome:
    """Look until there is a row, or it is too late; reused if the first look found it."""
    started, first = time.monotonic(), True
    while True:
        found = look()
        waited = time.monotonic() - started
        if found:
            return Outcome(folder=layout.out, digest=found.hash, reused=first)
        if waited >= seconds:
            raise UmoError(
                late,
                hint=f"{remedy}, then run the same command again",
                exit_code=ExitCode.INTERRUPTED,
                retryable=True,
            )
        first = False
        progress({"done": round(waited), "total": round(seconds), "phase": phase})
        time.sleep(min(POLL_SECONDS, seconds - waited))


def _deployment(desk: Desk, name: str, number: int) -> Event | None:
    """The row that says that a promoted candidate is served, if there is one yet."""
    reign = desk.ledger.reign(name)
    champion, decided = reign.champion, reign.decided
    if champion is None or decided is None or champion.version != number:
        raise DiffersError(
            f"the champion of {name} is {champion.version if champion else 'nobody'}, "
            f"this promotion is of {number}",
            hint="nothing is left to deploy of it",
        )
    if refused := refusal(desk.ledger, name, decided.seq):
        raise DeniedError(
            f"{name} {number} was refused by the deployer: {refused.reason}",
            hint=f"go back with `umo models rollback {name}`",
        )
    return deployed(desk.ledger, name, decided.seq)


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
