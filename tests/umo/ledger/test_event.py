from collections.abc import Callable
from dataclasses import replace

import pytest

from umo.ledger.event import GENESIS, Entry, Event, damage


def chain(count: int) -> list[Event]:
    events: list[Event] = []
    for seq in range(1, count + 1):
        event = Event(
            kind="registered",
            actor="anna",
            model="people",
            version=seq,
            weights=f"{seq}",
            seq=seq,
            at=f"2026-11-{seq:02}",
            before=events[-1].hash if events else GENESIS,
        )
        events.append(replace(event, hash=event.content_hash()))
    return events


def rehashed(event: Event, **changes: object) -> Event:
    changed = replace(event, **changes)
    return replace(changed, hash=changed.content_hash())


EVENTS = chain(4)
HEAD = (4, EVENTS[-1].hash)


def test_a_chain_holds() -> None:
    assert damage(EVENTS, HEAD) == []
    assert damage([], (0, GENESIS)) == []


@pytest.mark.parametrize(
    ("events", "line"),
    [
        (
            [EVENTS[0], replace(EVENTS[1], actor="ben"), *EVENTS[2:]],
            "ledger: row 2 (registered people 2 by ben) was changed",
        ),
        (
            [EVENTS[0], rehashed(EVENTS[1], actor="ben"), *EVENTS[2:]],
            "ledger: row 3 (registered people 3 by anna) does not follow row 2",
        ),
        ([EVENTS[0], *EVENTS[2:]], "ledger: row 2 is missing"),
        ([EVENTS[3]], "ledger: rows 1 to 3 are missing"),
        (EVENTS[:3], "ledger: row 4 is missing at the end"),
        (EVENTS[:1], "ledger: rows 2 to 4 are missing at the end"),
        ([*EVENTS[:3], rehashed(EVENTS[3], actor="ben")], "ledger: row 4 is not the last row"),
        (chain(5), "ledger: row 5 is not the last row that was written, row 4"),
        (
            [EVENTS[0], EVENTS[2], EVENTS[1], EVENTS[3]],
            "ledger: row 2 is missing",
        ),
    ],
)
def test_damage_is_named(events: list[Event], line: str) -> None:
    assert damage(events, HEAD)[0].startswith(line)


@pytest.mark.parametrize(
    "change",
    [
        lambda e: replace(e, reason="x"),
        lambda e: replace(e, details={"a": 1}),
        lambda e: replace(e, at="2027"),
        lambda e: replace(e, closes=1),
        lambda e: replace(e, previous="x"),
        lambda e: replace(e, report="x"),
    ],
)
def test_every_column_is_in_the_hash(change: Callable[[Event], Event]) -> None:
    assert change(EVENTS[0]).content_hash() != EVENTS[0].hash


def test_kinds_are_known() -> None:
    with pytest.raises(ValueError, match="kind is 'crowned', not one of registered"):
        Entry(kind="crowned", actor="anna", model="people", version=1, weights="w")
