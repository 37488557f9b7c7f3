import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from umo.errors import DiffersError, ExitCode, UmoError, UsageError
from umo.ledger import Entry, Ledger, store

ABOUT = {"model": "people", "version": 1, "weights": "w"}


def change(url: str, *statements: str) -> None:
    """Change the database behind the ledger's back, as its owner can."""
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def unlocked(url: str, statement: str) -> None:
    off = (
        ["DROP TRIGGER events_no_update", "DROP TRIGGER events_no_delete"]
        if url.startswith("sqlite")
        else ["DROP TRIGGER events_no_change ON events"]
    )
    change(url, *off, statement)


def test_events_come_back_as_they_went(url: str) -> None:
    ledger = Ledger(url)
    assert ledger.rows() == 0
    details = {"measured": 0.1 + 0.2, "gates": ["é", None, {"a": 1.0}], "passed": True}
    first = ledger.append("registered", actor="anna", **ABOUT, details=details)
    second = ledger.append("refused", actor="bén", model="other", version=2, weights="v")
    assert Ledger(url).events() == [first, second]
    assert ledger.rows() == 2
    assert (first.seq, second.seq, second.before) == (1, 2, first.hash)
    assert ledger.events("people") == ledger.events(kind="registered") == [first]
    assert first.at <= second.at
    assert datetime.fromisoformat(first.at).utcoffset() == timedelta(0)
    assert ledger.verify() == []
    assert ledger.extend([]) == []


def test_as_of_a_moment(url: str) -> None:
    ledger = Ledger(url)
    one = ledger.append("promoted", actor="carl", **ABOUT)
    between = datetime.now(UTC)
    two = ledger.append("promoted", actor="carl", model="people", version=2, weights="v")
    assert ledger.champion("people") == two
    assert ledger.champion("people", between) == one
    assert ledger.champion("people", between.astimezone()) == one
    assert ledger.champion("people", between - timedelta(days=1)) is None
    assert ledger.champion("nobody") is None


@pytest.mark.parametrize("statement", ["UPDATE events SET actor = 'ben'", "DELETE FROM events"])
def test_the_database_refuses_changes(url: str, statement: str) -> None:
    ledger = Ledger(url)
    event = ledger.append("approved", actor="anna", **ABOUT)
    with pytest.raises(sa.exc.DatabaseError, match="append-only"):
        change(url, statement)
    assert ledger.events() == [event]


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        ("UPDATE events SET actor = 'ben' WHERE seq = 2", "row 2 (approved people 1 by ben) was"),
        ("UPDATE events SET details = '{\"a\": 1}' WHERE seq = 1", "row 1 (approved people 1 by"),
        ("DELETE FROM events WHERE seq = 2", "row 2 is missing"),
        ("DELETE FROM events WHERE seq = 3", "row 3 is missing at the end"),
        ("DELETE FROM events", "rows 1 to 3 are missing at the end"),
        ("DELETE FROM head", "its head is missing"),
    ],
)
def test_a_changed_row_is_named(url: str, statement: str, line: str) -> None:
    ledger = Ledger(url)
    for _ in range(3):
        ledger.append("approved", actor="anna", **ABOUT)
    unlocked(url, statement)
    assert ledger.verify()[0].startswith(f"ledger: {line}")


def test_an_intention_is_closed_once(url: str) -> None:
    ledger = Ledger(url)
    intent = ledger.append("intended", actor="carl", **ABOUT)
    ledger.append("abandoned", actor="carl", **ABOUT, closes=intent.seq)
    late = Entry(kind="promoted", actor="dora", **ABOUT, closes=intent.seq)
    with pytest.raises(DiffersError, match="finished or undone this change already; run it again"):
        ledger.extend([Entry(kind="refused", actor="dora", **ABOUT), late])
    assert len(ledger.events()) == 2
    assert ledger.verify() == []


def test_appending_takes_turns(url: str) -> None:
    def work(name: str) -> None:
        ledger = Ledger(url)
        for _ in range(5):
            ledger.append("approved", actor=name, **ABOUT)

    workers = [threading.Thread(target=work, args=(str(number),)) for number in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    ledger = Ledger(url)
    actors = [event.actor for event in ledger.events()]
    assert {name: actors.count(name) for name in set(actors)} == {str(n): 5 for n in range(6)}
    assert ledger.verify() == []


def test_one_changes_the_champion_at_a_time(url: str) -> None:
    ledger = Ledger(url)
    inside: list[str] = []

    def work(name: str) -> None:
        with Ledger(url).promotion("people"):
            inside.append(name)
            Ledger(url).append("approved", actor=name, **ABOUT)
            inside.append(name)

    with ledger.promotion("people"):
        workers = [threading.Thread(target=work, args=(str(number),)) for number in range(3)]
        for worker in workers:
            worker.start()
        ledger.append("approved", actor="holder", **ABOUT)
        assert inside == []
    for worker in workers:
        worker.join()
    assert inside[::2] == inside[1::2]
    assert sorted(inside[::2]) == ["0", "1", "2"]


def test_a_lock_is_released_by_an_error_and_waited_for_with_patience(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(url)
    with pytest.raises(ValueError, match="inside"), ledger.promotion("people"):
        raise ValueError("inside")
    monkeypatch.setattr(store, "PATIENCE", 1)
    impatient = Ledger(url)
    with (
        ledger.promotion("people"),
        pytest.raises(UmoError) as caught,
        impatient.promotion("people"),
    ):
        pass
    assert caught.value.exit_code == ExitCode.INTERRUPTED
    assert caught.value.retryable
    assert "was held by somebody else for 1 s; run the same command again" in str(caught.value)


@pytest.mark.parametrize(
    ("address", "kind", "line"),
    [
        ("ledger", UsageError, "the ledger's address is not a URL; for example UMO_LEDGER="),
        ("sqlite://", UsageError, "the ledger cannot be sqlite://; name a SQLite file"),
        ("mysql://anna:secret@host/db", UsageError, "the ledger cannot be mysql://anna:***@host"),
        ("sqlite:////nowhere/ledger.db", UmoError, "unable to open database file"),
        ("postgresql://anna:secret@127.0.0.1:1/db", UmoError, "Connection refused"),
    ],
)
def test_a_wrong_address_is_one_line_without_its_password(
    address: str, kind: type[UmoError], line: str
) -> None:
    with pytest.raises(kind, match=re.escape(line)) as caught:
        Ledger(address)
    assert "secret" not in str(caught.value)


def test_what_is_no_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("no database " * 100)
    with pytest.raises(UmoError, match="file is not a database; check UMO_LEDGER"):
        Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
