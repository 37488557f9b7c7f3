import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from services.small_run import SmallRun, write_run
from umo.errors import DiffersError
from umo.files import sha256
from umo.ledger import Ledger
from umo.promotion import GateError, approve, promote, submit, verify, waive
from umo.promotion.submit import Submission
from umo.promotion.view import review_of
from umo.registry import Registry
from umo.review.policy import Policy, load_policy
from umo.signing import SIGNATURE, keygen
from umo.signing import verify as verify_signature
from umo.steps import register
from umo.steps.layout import Layout
from umo.store import LEDGER, TRACKING, Store

Submit = Callable[..., Submission]


@pytest.fixture
def policy() -> Policy:
    return replace(load_policy(), items=8)


@pytest.fixture
def hand_in(
    registry: Registry,
    ledger: Ledger,
    store: Store,
    policy: Policy,
    monkeypatch: pytest.MonkeyPatch,
) -> Submit:
    """Register a run as a candidate of `people` and hand it in."""
    monkeypatch.setenv(TRACKING, store.tracking)
    monkeypatch.setenv(LEDGER, store.ledger)
    monkeypatch.setenv("UMO_ACTOR", "anna")

    def hand_in(name: str, run: SmallRun, **options: object) -> Submission:
        register.run(name, layout=Layout(run.folder))
        number = json.loads(Layout(run.folder).version.read_text())["version"]
        given = {"policy": policy, "data": run.tune, "held_out": run.held_out, **options}
        return submit(registry, ledger, name, number, actor="anna", **given)

    return hand_in


def test_report_card_and_verdicts_are_kept_once(
    registry: Registry, ledger: Ledger, hand_in: Submit, tmp_path: Path
) -> None:
    name, run = "kept", write_run(tmp_path / "run")
    keygen(tmp_path / "key")
    key = f"file:{tmp_path / 'key'}"
    dry = hand_in(name, run, key=key, dry_run=True)
    assert dry.event is None
    assert [event.kind for event in ledger.events(name)] == ["registered", "evaluated"]

    first = hand_in(name, run, key=key)
    events = ledger.events(name)
    assert first.event == events[-1]
    assert (first.event.kind, first.event.report, first.report) == (
        "submitted",
        dry.report,
        dry.report,
    )
    assert [event.details["gate"] for event in events[2:-1]] == [v.gate for v in first.verdicts]
    assert hand_in(name, run, key=key) == first
    assert ledger.events(name) == events

    with review_of(registry, ledger, name, 1) as review:
        assert sha256(review / "review.html") == first.report
        assert "kept 1" in (review / "README.md").read_text()
        assert len(json.loads((review / "verdicts.json").read_text())) == len(first.verdicts)
        verify_signature(review, f"{key}.pub")
    with registry.files(registry.candidate(name, 1).run) as model:
        assert (model / SIGNATURE).is_file()

    approve(registry, ledger, name, 1, actor="ben", report=first.report, reason="faces hold")
    promote(registry, ledger, name, 1, actor="carl", keys=f"{key}.pub")
    assert verify(registry, ledger, name, keys=f"{key}.pub") == []


def test_a_failed_gate_is_kept_and_refused(
    registry: Registry, ledger: Ledger, hand_in: Submit, policy: Policy, tmp_path: Path
) -> None:
    name, run = "failed", write_run(tmp_path / "run")
    strict = replace(policy, id_sim_gain=99.0, allowed_licences=())
    with pytest.raises(
        GateError, match=r"failed 1 fails the gate id_sim: failed: .*least \+99"
    ) as e:
        hand_in(name, run, policy=strict)
    failed = {v.gate for v in e.value.submission.verdicts if not v.passed}
    assert failed >= {"id_sim", "base_licence"}
    recorded = {event.details["gate"] for event in ledger.events(name, kind="gate_failed")}
    assert recorded == failed
    assert ledger.events(name, kind="submitted") == []
    with review_of(registry, ledger, name, 1) as review:
        assert sha256(review / "review.html") == e.value.submission.report

    count = len(ledger.events(name))
    with pytest.raises(GateError):
        hand_in(name, run, policy=strict)
    assert len(ledger.events(name)) == count
    assert hand_in(name, run).event


def test_a_recorded_waiver_lets_a_licence_pass(
    registry: Registry, ledger: Ledger, hand_in: Submit, policy: Policy, tmp_path: Path
) -> None:
    name, run = "waived", write_run(tmp_path / "run")
    strict = replace(policy, allowed_licences=("CC0-1.0",))
    with pytest.raises(GateError, match="fails the gate base_licence"):
        hand_in(name, run, policy=strict)
    waive(
        registry,
        ledger,
        name,
        1,
        gate="base_licence",
        policy=strict,
        actor="ben",
        reason="for research",
    )
    submission = hand_in(name, run, policy=strict)
    (waived,) = [verdict for verdict in submission.verdicts if verdict.waived]
    assert (waived.gate, waived.waived) == ("base_licence", "ben: for research")
    assert submission.event


def test_a_changed_evaluation_is_refused_and_recorded(
    registry: Registry, ledger: Ledger, hand_in: Submit, tmp_path: Path
) -> None:
    name, run = "flattered", write_run(tmp_path / "run")
    register.run(name, layout=Layout(run.folder))
    stored = registry.address(registry.candidate(name, 1).run, "evaluation/summary.json")
    Path(stored).write_text("{}")
    with pytest.raises(DiffersError, match=r"flattered-candidates 1: evaluation/summary\.json has"):
        hand_in(name, run)
    (refused,) = ledger.events(name, kind="refused")
    assert refused.details == {"action": "submit", "exit_code": 5}


def test_the_champion_stands_beside_the_candidate(
    registry: Registry, ledger: Ledger, hand_in: Submit, tmp_path: Path
) -> None:
    name = "beside"
    first = hand_in(name, write_run(tmp_path / "one", candidate=0.5))
    approve(registry, ledger, name, 1, actor="ben", report=first.report, reason="faces hold")
    promote(registry, ledger, name, 1, actor="carl")
    second = hand_in(name, write_run(tmp_path / "two", candidate=1.0))
    verdict = next(verdict for verdict in second.verdicts if verdict.gate == "champion")
    assert "there is no champion" not in verdict.measured
    with review_of(registry, ledger, name, 2) as review:
        assert f"{name}-candidates 1" in (review / "review.html").read_text()
