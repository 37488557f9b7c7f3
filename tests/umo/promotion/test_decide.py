from pathlib import Path

import pytest

from services.candidates import REPORT, REVIEWER, TRAINER, register, submit
from umo.errors import DeniedError, DiffersError, NotFoundError, UsageError
from umo.ledger import Ledger
from umo.promotion import approve, reject, waive
from umo.promotion.case import Case
from umo.registry import Registry
from umo.review.policy import load_policy


def test_approval_binds_to_the_report_that_was_read(
    registry: Registry, ledger: Ledger, tmp_path: Path
) -> None:
    name = "bound"
    number = register(registry, ledger, name, 1, tmp_path).version

    def decide(report: str, actor: str = REVIEWER, dry_run: bool = False) -> object:
        return approve(
            registry,
            ledger,
            name,
            number,
            actor=actor,
            report=report,
            reason="sharp",
            dry_run=dry_run,
        )

    with pytest.raises(DeniedError, match="bound 1 is evaluated, not submitted; its trainer runs"):
        decide("0" * 64)
    report = submit(registry, ledger, name, number, tmp_path)
    for wrong in ("0" * 64, "", report[:11], f"{report}0"):
        with pytest.raises(DiffersError, match=f"submitted is {report}; read that one"):
            decide(wrong)
    with pytest.raises(DeniedError, match="trainer trained or submitted bound 1 and cannot app"):
        decide(report, actor=TRAINER)
    assert decide(report, dry_run=True) is None
    refused = [(e.actor, e.details["exit_code"]) for e in ledger.events(name, kind="refused")]
    assert refused == [(REVIEWER, 4), *[(REVIEWER, 5)] * 4, (TRAINER, 4)]

    approval = decide(report[:12].upper())
    assert (approval.kind, approval.report, approval.previous) == ("approved", report, "submitted")
    assert decide(report) == approval
    assert len(ledger.events(name, kind="approved")) == 1


def test_a_report_that_was_changed_since_cannot_be_approved(
    registry: Registry, ledger: Ledger, tmp_path: Path
) -> None:
    name = "swapped"
    version = register(registry, ledger, name, 1, tmp_path)
    report = submit(registry, ledger, name, 1, tmp_path)
    Path(registry.address(version.run, f"review/{REPORT}")).write_text("all is well")
    with pytest.raises(DiffersError, match=r"report of swapped 1 was changed since: review/review"):
        approve(registry, ledger, name, 1, actor=REVIEWER, report=report, reason="sharp")


def test_rejected_and_revoked(registry: Registry, ledger: Ledger, tmp_path: Path) -> None:
    name = "rejected"
    register(registry, ledger, name, 1, tmp_path)
    report = submit(registry, ledger, name, 1, tmp_path)
    first = reject(registry, ledger, name, 1, actor=REVIEWER, reason="hands")
    assert (first.kind, first.report) == ("rejected", report)
    assert reject(registry, ledger, name, 1, actor=REVIEWER, reason="hands") == first
    approve(registry, ledger, name, 1, actor=REVIEWER, report=report, reason="on second thought")
    assert reject(registry, ledger, name, 1, actor="dora", reason="no", dry_run=True) is None
    last = reject(registry, ledger, name, 1, actor="dora", reason="no")
    assert (last.kind, last.previous) == ("revoked", "approved")
    digest = registry.candidate(name, 1).digest
    assert ledger.progress(name, digest).state == "revoked"


def test_a_waiver_is_somebody_elses_and_allowed_by_the_policy(
    registry: Registry, ledger: Ledger, tmp_path: Path
) -> None:
    name, policy = "waived", load_policy()
    register(registry, ledger, name, 1, tmp_path)

    def decide(gate: str, actor: str = REVIEWER, dry_run: bool = False) -> object:
        return waive(
            registry,
            ledger,
            name,
            1,
            gate=gate,
            policy=policy,
            actor=actor,
            reason="for research",
            dry_run=dry_run,
        )

    with pytest.raises(DeniedError, match="trainer trained or submitted waived 1 and cannot waive"):
        decide("base_licence", actor=TRAINER)
    with pytest.raises(UsageError, match="'id_sim' cannot be waived"):
        decide("id_sim")
    with pytest.raises(UsageError, match="no gate 'luck'"):
        decide("luck")
    assert decide("base_licence", dry_run=True) is None
    event = decide("base_licence")
    assert (event.kind, event.details) == ("waived", {"gate": "base_licence"})
    assert Case.open(registry, ledger, name, 1).progress.waivers == [event]


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_decision_needs_a_reason(registry: Registry, ledger: Ledger, reason: str) -> None:
    for decide in (
        lambda: approve(registry, ledger, "x", 1, actor="a", report="r", reason=reason),
        lambda: reject(registry, ledger, "x", 1, actor="a", reason=reason),
    ):
        with pytest.raises(UsageError, match="a decision needs a reason; give it with --reason"):
            decide()


def test_unknown_versions(registry: Registry, ledger: Ledger) -> None:
    with pytest.raises(NotFoundError, match="nobody-candidates has no version 1, only none"):
        reject(registry, ledger, "nobody", 1, actor="a", reason="r")
    assert ledger.events("nobody") == []
