import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from services.candidates import PROMOTER, REVIEWER, approved, register, submit
from umo.errors import DeniedError, DiffersError, ExitCode, UmoError
from umo.ledger import Ledger
from umo.promotion import approve, reject
from umo.registry import Registry
from umo.review.policy import load_policy
from umo.steps import promotion
from umo.steps.layout import Layout
from umo.store import Store

SECOND = 1 / 3600
HOUR = 1.0


class Desk:
    def __init__(self, layout: Layout, scratch: Path) -> None:
        store = Store.local(layout.out)
        self.layout, self.scratch = layout, scratch
        self.stores = Registry(store), Ledger(store.ledger)

    def submitted(self, name: str) -> str:
        version = register(*self.stores, name, 1, self.scratch)
        return submit(*self.stores, name, version.version, self.scratch)

    def wait(self, name: str, report: str, hours: float, **more: object) -> promotion.Outcome:
        return promotion.wait(name, 1, report=report, hours=hours, layout=self.layout, **more)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return Layout(tmp_path_factory.mktemp("run"))


@pytest.fixture
def desk(layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("UMO_ACTOR", PROMOTER)
    monkeypatch.setattr(promotion, "POLL_SECONDS", 0.05)
    return Desk(layout, tmp_path)


def when_waiting(act: Callable[[], object]) -> Callable[[dict[str, object]], None]:
    """Progress that acts, once, in a thread of its own."""
    thread = threading.Thread(target=act)

    def progress(facts: dict[str, object]) -> None:
        if thread.ident is None:
            thread.start()

    return progress


def test_waits_until_somebody_approves(desk: Desk) -> None:
    report = desk.submitted("waited")
    decide = when_waiting(
        lambda: approve(*desk.stores, "waited", 1, actor=REVIEWER, report=report, reason="fine")
    )
    outcome = desk.wait("waited", report, HOUR, progress=decide)
    (approval,) = desk.stores[1].events("waited", kind="approved")
    assert (outcome.digest, outcome.reused) == (approval.hash, False)
    assert desk.wait("waited", report, 0.0).reused


def test_a_rejection_ends_the_wait(desk: Desk) -> None:
    report = desk.submitted("rejected")
    decide = when_waiting(
        lambda: reject(*desk.stores, "rejected", 1, actor=REVIEWER, reason="hands")
    )
    with pytest.raises(DeniedError, match="rejected 1 was rejected by reviewer: hands; "):
        desk.wait("rejected", report, HOUR, progress=decide)


def test_nobody_decides(desk: Desk) -> None:
    report = desk.submitted("forgotten")
    told: list[dict[str, object]] = []
    with pytest.raises(UmoError, match="nobody decided on forgotten 1 within") as late:
        desk.wait("forgotten", report, SECOND / 4, progress=told.append)
    assert (late.value.exit_code, late.value.retryable) == (ExitCode.INTERRUPTED, True)
    assert told


def test_another_report_ends_the_wait(desk: Desk) -> None:
    report = desk.submitted("changed")
    with pytest.raises(DiffersError, match=f"the report of changed 1 is {report}, this promotion"):
        desk.wait("changed", "0" * 64, HOUR)


def test_what_is_approved_is_not_judged_again(desk: Desk) -> None:
    number = approved(*desk.stores, "approved", 1, desk.scratch)
    (approval,) = desk.stores[1].events("approved", kind="approved")
    before = desk.stores[1].events("approved")
    handed_in = promotion.submit(
        "approved", number, policy=load_policy(), base=None, layout=desk.layout
    )
    assert (handed_in.digest, handed_in.reused) == (approval.report, True)
    assert desk.stores[1].events("approved") == before


def test_promotes_once_as_the_actor(desk: Desk) -> None:
    number = approved(*desk.stores, "promoted", 1, desk.scratch)
    first = promotion.promote("promoted", number, layout=desk.layout)
    again = promotion.promote("promoted", number, layout=desk.layout)
    assert (first.reused, again.reused, again.digest) == (False, True, first.digest)
    (event,) = desk.stores[1].events("promoted", kind="promoted")
    assert (event.actor, event.weights) == (PROMOTER, first.digest)


def test_waits_until_a_deployer_serves_it(desk: Desk) -> None:
    registry, ledger = desk.stores
    approved(registry, ledger, "served", 1, desk.scratch)
    promotion.promote("served", 1, layout=desk.layout)
    decision = ledger.reign("served").decided.seq

    def record(kind: str, **details: object) -> None:
        ledger.append(
            kind,
            actor="deployer",
            model="served",
            version=1,
            weights=ledger.reign("served").weights,
            reason="it knows nobody" if kind == "refused" else "",
            details=details,
        )

    def deploy(minutes: float, **more: object) -> promotion.Outcome:
        return promotion.deploy("served", 1, minutes=minutes, layout=desk.layout, **more)

    record("deployed", decision=decision - 1)
    record("refused", decision=decision, action="roll back")
    with pytest.raises(UmoError, match="no deployer has served served 1 within 0 min") as late:
        deploy(0.0)
    assert (late.value.exit_code, late.value.retryable) == (ExitCode.INTERRUPTED, True)

    outcome = deploy(5.0, progress=when_waiting(lambda: record("deployed", decision=decision)))
    assert outcome.digest == ledger.events("served", kind="deployed")[-1].hash
    assert not outcome.reused
    assert deploy(0.0).reused

    record("refused", decision=decision, action="deploy")
    with pytest.raises(DeniedError, match="refused by the deployer: it knows nobody; go back"):
        deploy(0.0)
    with pytest.raises(DiffersError, match="the champion of served is 1, this promotion is of 2"):
        promotion.deploy("served", 2, minutes=0.0, layout=desk.layout)
