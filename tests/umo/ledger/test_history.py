from dataclasses import replace
from typing import Any

from umo.ledger.event import Event
from umo.ledger.history import progress, reign


def events(*rows: tuple[str, str, dict[str, Any]]) -> list[Event]:
    """Kind, weights and other fields of each row."""
    return [
        Event(
            kind=kind,
            weights=weights,
            model="people",
            version=1,
            seq=seq,
            at="",
            before="",
            **{"actor": "carl", **fields},
        )
        for seq, (kind, weights, fields) in enumerate(rows, start=1)
    ]


def test_no_champion() -> None:
    now = reign([])
    assert (now.champion, now.previous, now.pending, now.decided) == (None, None, None, None)
    assert now.weights == ""


def test_champions_follow_each_other() -> None:
    rows = events(
        ("promoted", "a", {}),
        ("promoted", "b", {}),
        ("promoted", "a", {}),
        ("promoted", "c", {}),
    )
    assert [event.weights for event in reign(rows).champions] == ["a", "b", "a", "c"]
    back = [*rows, replace(rows[2], kind="rolled_back", seq=5, details={"restores": 3})]
    now = reign(back)
    assert [event.weights for event in now.champions] == ["a", "b", "a"]
    assert now.previous == rows[1]
    assert now.champion == rows[2]
    assert now.decided == back[-1]


def test_an_intention_is_open_until_it_is_closed() -> None:
    for closing in ("promoted", "abandoned"):
        rows = events(("intended", "a", {}), (closing, "a", {"closes": 1}))
        assert reign(rows[:1]).pending == rows[0]
        assert reign(rows).pending is None
    refused = events(("intended", "a", {}), ("refused", "b", {}), ("approved", "b", {}))
    assert reign(refused).pending == refused[0]


GATE = ("gate_passed", "a", {"report": "r", "details": {"manifest": "m"}, "actor": "anna"})
SUBMITTED = ("submitted", "a", {"report": "r", "details": {"manifest": "m"}, "actor": "anna"})
APPROVED = ("approved", "a", {"report": "r", "actor": "ben"})


def test_states_of_a_version() -> None:
    rows = events(
        ("registered", "a", {"actor": "anna"}),
        ("evaluated", "a", {"actor": "anna"}),
        GATE,
        SUBMITTED,
        APPROVED,
        ("revoked", "a", {"actor": "ben"}),
    )
    states = [progress(rows[:count], "a").state for count in range(len(rows) + 1)]
    assert states == [
        *("registered", "registered", "evaluated", "gates failed"),
        *("submitted", "approved", "revoked"),
    ]
    found = progress(rows, "a")
    assert found.trainers == {"anna"}
    assert found.approval is None
    assert progress(rows, "b").state == "registered"


def test_a_new_submission_ends_an_approval() -> None:
    new = {"report": "s", "details": {"manifest": "n"}, "actor": "dora"}
    approved = [("registered", "a", {"actor": "anna"}), GATE, SUBMITTED, APPROVED]
    again = progress(events(*approved, ("gate_passed", "a", new), ("submitted", "a", new)), "a")
    assert (again.approval, again.state, len(again.gates)) == (None, "submitted", 1)
    assert again.trainers == {"anna", "dora"}
    failed = progress(events(*approved, ("gate_failed", "a", new)), "a")
    assert (failed.submitted, failed.decision, failed.state) == (None, None, "gates failed")
    assert progress(events(*approved), "a").approval
