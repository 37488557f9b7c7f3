from pathlib import Path

import pytest

from services.candidates import PROMOTER, REVIEWER, TRAINER, approved, register, submit
from umo.errors import DeniedError, DiffersError, NotFoundError, UsageError
from umo.ledger import Ledger
from umo.promotion import approve, promote, reject, rollback
from umo.promotion.case import Case
from umo.promotion.change import NO_CHAMPION
from umo.registry import CHAMPION, PREVIOUS, Registry


def aliases(registry: Registry, name: str) -> dict[str, int]:
    """Candidate by alias."""
    known = {version.digest: version.version for version in registry.versions(f"{name}-candidates")}
    copies = {version.version: known[version.digest] for version in registry.versions(name)}
    return {alias: copies[number] for alias, number in registry.aliases(name).items()}


def test_champions_come_and_go(registry: Registry, ledger: Ledger, tmp_path: Path) -> None:
    name = "people"
    one, two, three = (approved(registry, ledger, name, seed, tmp_path) for seed in (1, 2, 3))

    first = promote(registry, ledger, name, one, actor=PROMOTER, expected=NO_CHAMPION)
    assert (first.kind, first.version, first.previous, first.actor) == ("promoted", 1, "", PROMOTER)
    assert first.details["approver"] == REVIEWER
    assert aliases(registry, name) == {CHAMPION: one}

    second = promote(registry, ledger, name, two, actor=PROMOTER, expected=one)
    assert second.previous == first.weights
    assert aliases(registry, name) == {CHAMPION: two, PREVIOUS: one}
    assert promote(registry, ledger, name, two, actor=PROMOTER) == second

    promote(registry, ledger, name, three, actor=PROMOTER)
    back = rollback(registry, ledger, name, actor=PROMOTER, reason="hands", expected=three)
    assert (back.kind, back.version, back.reason) == ("rolled_back", two, "hands")
    assert aliases(registry, name) == {CHAMPION: two, PREVIOUS: one}

    rollback(registry, ledger, name, actor=PROMOTER, reason="eyes")
    assert aliases(registry, name) == {CHAMPION: one}
    with pytest.raises(DeniedError, match="people has no earlier champion to go back to"):
        rollback(registry, ledger, name, actor=PROMOTER, reason="all of it")

    again = promote(registry, ledger, name, three, actor=PROMOTER)
    assert aliases(registry, name) == {CHAMPION: three, PREVIOUS: one}
    assert again.details["copy"] == 3
    assert len(registry.versions(name)) == 3
    assert ledger.verify() == []


def test_rollback_passes_over_a_revoked_champion(
    registry: Registry, ledger: Ledger, tmp_path: Path
) -> None:
    name = "revoked"
    numbers = [approved(registry, ledger, name, seed, tmp_path) for seed in (1, 2, 3)]
    for number in numbers:
        promote(registry, ledger, name, number, actor=PROMOTER)
    revoked = reject(registry, ledger, name, 2, actor=REVIEWER, reason="consent withdrawn")
    assert revoked.kind == "revoked"
    assert rollback(registry, ledger, name, actor=PROMOTER, reason="hands").version == 1
    with pytest.raises(DeniedError, match="revoked 2 is revoked, not approved"):
        promote(registry, ledger, name, 2, actor=PROMOTER)


def test_what_is_not_approved_is_refused_and_recorded(
    registry: Registry, ledger: Ledger, tmp_path: Path
) -> None:
    name = "unapproved"
    number = register(registry, ledger, name, 1, tmp_path).version
    with pytest.raises(DeniedError, match="unapproved 1 is evaluated, not approved; a reviewer"):
        promote(registry, ledger, name, number, actor=PROMOTER)
    (refused,) = ledger.events(name, kind="refused")
    assert refused.actor == PROMOTER
    assert refused.details == {"action": "promote", "exit_code": 4}
    assert refused.reason == "unapproved 1 is evaluated, not approved"

    submit(registry, ledger, name, number, tmp_path)
    with pytest.raises(DeniedError, match="unapproved 1 is submitted, not approved"):
        promote(registry, ledger, name, number, actor=PROMOTER, dry_run=True)
    assert len(ledger.events(name, kind="refused")) == 1
    with pytest.raises(NotFoundError, match="unapproved-candidates has no version 7, only 1"):
        promote(registry, ledger, name, 7, actor=PROMOTER)
    with pytest.raises(DeniedError, match="unapproved has no champion"):
        rollback(registry, ledger, name, actor=PROMOTER, reason="hands")
    with pytest.raises(UsageError, match="needs a reason"):
        rollback(registry, ledger, name, actor=PROMOTER, reason=" ")


def test_another_champion_than_expected_is_refused(
    registry: Registry, ledger: Ledger, tmp_path: Path
) -> None:
    name = "expected"
    one, two = (approved(registry, ledger, name, seed, tmp_path) for seed in (1, 2))
    with pytest.raises(DiffersError, match="champion of expected is nobody, you expected 2"):
        promote(registry, ledger, name, one, actor=PROMOTER, expected=two)
    promote(registry, ledger, name, one, actor=PROMOTER)
    with pytest.raises(DiffersError, match="champion of expected is 1, you expected nobody"):
        promote(registry, ledger, name, two, actor=PROMOTER, expected=NO_CHAMPION)
    with pytest.raises(DiffersError, match="champion of expected is 1, you expected 2"):
        rollback(registry, ledger, name, actor=PROMOTER, reason="hands", expected=2)
    assert [event.details["exit_code"] for event in ledger.events(name, kind="refused")] == [5] * 3


def test_a_dry_run_changes_nothing(registry: Registry, ledger: Ledger, tmp_path: Path) -> None:
    name = "dry"
    one, two = (approved(registry, ledger, name, seed, tmp_path) for seed in (1, 2))
    before = ledger.events(name)
    assert promote(registry, ledger, name, one, actor=PROMOTER, dry_run=True) is None
    assert ledger.events(name) == before
    assert registry.versions(name) == []
    for number in (one, two):
        promote(registry, ledger, name, number, actor=PROMOTER)
    before = ledger.events(name)
    assert rollback(registry, ledger, name, actor=PROMOTER, reason="hands", dry_run=True) is None
    assert ledger.events(name) == before


def test_changed_weights_stop_a_promotion_before_the_champion_moves(
    registry: Registry, ledger: Ledger, tmp_path: Path
) -> None:
    name = "changed"
    one, two = (approved(registry, ledger, name, seed, tmp_path) for seed in (1, 2))
    champion = promote(registry, ledger, name, one, actor=PROMOTER)
    run = registry.candidate(name, two).run
    with Path(registry.address(run, "model/lora.safetensors")).open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"\xff")
    with pytest.raises(DiffersError, match=r"changed-candidates 2: model/lora.safetensors has sha"):
        promote(registry, ledger, name, two, actor=PROMOTER)
    kinds = [event.kind for event in ledger.events(name)][-3:]
    assert kinds == ["intended", "abandoned", "refused"]
    assert ledger.champion(name) == champion
    assert aliases(registry, name) == {CHAMPION: one}


def test_an_approval_by_a_later_trainer_does_not_count(
    registry: Registry, ledger: Ledger, tmp_path: Path
) -> None:
    name = "turncoat"
    number = approved(registry, ledger, name, 1, tmp_path)
    case = Case.open(registry, ledger, name, number)
    ledger.extend([case.entry("registered", REVIEWER, details={"manifest": case.manifest})])
    with pytest.raises(DeniedError, match="was approved by reviewer, who trained or submitted it"):
        promote(registry, ledger, name, number, actor=PROMOTER)


def test_a_new_report_needs_a_new_approval(
    registry: Registry, ledger: Ledger, tmp_path: Path
) -> None:
    name = "renewed"
    number = approved(registry, ledger, name, 1, tmp_path)
    case = Case.open(registry, ledger, name, number)
    manifest = {"manifest": "0" * 64}
    ledger.extend(
        [
            case.entry("gate_passed", TRAINER, report="1" * 64, details=manifest),
            case.entry("submitted", TRAINER, report="1" * 64, details=manifest),
        ]
    )
    with pytest.raises(DeniedError, match="renewed 1 is submitted, not approved"):
        promote(registry, ledger, name, number, actor=PROMOTER)
    with pytest.raises(DiffersError, match="the report of renewed 1 was changed since"):
        approve(
            registry, ledger, name, number, actor=REVIEWER, report="1" * 64, reason="looks fine"
        )
