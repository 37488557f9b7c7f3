from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import pytest
import sqlalchemy as sa

from umo.errors import DiffersError
from umo.ledger import Ledger, schema
from umo.ledger.event import GENESIS, Event


def older(url: str, events: int) -> list[Event]:
    """A ledger as the first version of the schema left it, with rows in it."""
    rows: list[Event] = []
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        schema.upgrade(connection, "1")
        assert schema.version(connection) == "1"
        for seq in range(1, events + 1):
            event = Event(
                kind="registered",
                actor="anna",
                model="people",
                version=seq,
                weights=f"{seq}",
                seq=seq,
                at=f"2026-11-01T00:00:0{seq}.000000+00:00",
                before=rows[-1].hash if rows else GENESIS,
            )
            rows.append(replace(event, hash=event.content_hash()))
            connection.execute(schema.EVENTS.insert(), asdict(rows[-1]))
    return rows


@pytest.mark.parametrize("count", [0, 3])
def test_an_older_ledger_keeps_its_rows(url: str, count: int) -> None:
    rows = older(url, count)
    ledger = Ledger(url)
    assert ledger.events() == rows
    assert ledger.verify() == []
    added = ledger.append("approved", actor="ben", model="people", version=1, weights="1")
    assert added.seq == count + 1
    assert added.before == (rows[-1].hash if rows else GENESIS)
    assert Ledger(url).verify() == []


def test_a_damaged_older_ledger_stays_damaged(url: str) -> None:
    older(url, 3)
    off = "" if url.startswith("sqlite") else " ON events"
    name = "events_no_update" if url.startswith("sqlite") else "events_no_change"
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        connection.execute(sa.text(f"DROP TRIGGER {name}{off}"))
        connection.execute(sa.text("UPDATE events SET actor = 'ben' WHERE seq = 2"))
    assert Ledger(url).verify() == [
        "ledger: row 2 (registered people 2 by ben) was changed: its content does not match its "
        "hash"
    ]


def test_the_tables_are_those_of_the_migrations(url: str) -> None:
    Ledger(url)
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        assert schema.version(connection) == schema.VERSION
        found = sa.inspect(connection)
        for table in (schema.EVENTS, schema.HEAD, schema.LOCKS):
            columns = {c["name"]: c["nullable"] for c in found.get_columns(table.name)}
            assert columns == {c.name: c.nullable for c in table.columns}


def test_a_newer_ledger_is_refused(url: str) -> None:
    Ledger(url)
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '99'"))
    with pytest.raises(DiffersError, match="schema 99, this umo knows up to 2; install a newer"):
        Ledger(url)


def test_opening_at_once_migrates_once(url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        ledgers = list(pool.map(lambda _: Ledger(url), range(4)))
    assert ledgers[0].verify() == []
