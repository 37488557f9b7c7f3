"""The ledger in a database: SQLite in a run folder, Postgres on a cluster.

Appending takes turns on the head row, changing a champion on a lock of the model. Whoever is
killed loses the lock with its connection. MLflow aliases have no compare-and-swap; this has.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from umo.errors import DeniedError, DiffersError, ExitCode, UmoError, UsageError
from umo.ledger import schema
from umo.ledger.event import Entry, Event, damage
from umo.ledger.history import Progress, Reign, progress, reign

PATIENCE = 300
"""Seconds to wait for whoever appends or promotes."""


class Ledger:
    """Rows that only ever get added, each chained to the one before by its hash.

    Args:
        url: SQLAlchemy URL of a SQLite file or a Postgres database.

    Raises:
        DiffersError: The ledger was written by a newer umo.
        UmoError: The database cannot be reached.
        UsageError: The URL names neither.
    """

    def __init__(self, url: str) -> None:
        try:
            self._url = sa.make_url(url)
        except sa.exc.ArgumentError:
            raise UsageError(
                "the ledger's address is not a URL",
                hint="for example UMO_LEDGER=sqlite:////data/ledger.db or postgresql://host/umo",
            ) from None
        self._sqlite = self._url.get_backend_name() == "sqlite"
        if not (self._sqlite and self._url.database) and not self._postgres:
            raise UsageError(
                f"the ledger cannot be {self._url.render_as_string()}",
                hint="name a SQLite file or a Postgres database",
            )
        self._engine = self._connectable(self._url)
        locks = f"{self._url.database}.lock" if self._sqlite else self._url.database
        self._locks = self._connectable(self._url.set(database=locks))
        with self._begin() as connection:
            found = schema.version(connection)
        if found != schema.VERSION:
            with self._begin(write=True) as connection:
                if self._postgres:
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(0x756D6F)))
                schema.upgrade(connection)

    def append(
        self,
        kind: str,
        *,
        actor: str,
        model: str,
        version: int,
        weights: str,
        report: str = "",
        reason: str = "",
        previous: str = "",
        details: dict[str, Any] | None = None,
        closes: int | None = None,
    ) -> Event:
        """Add one event; see `Entry` for the fields.

        Raises:
            DiffersError: The intention is closed already.
        """
        entry = Entry(
            kind=kind,
            actor=actor,
            model=model,
            version=version,
            weights=weights,
            report=report,
            reason=reason,
            previous=previous,
            details=details or {},
            closes=closes,
        )
        return self.extend([entry])[0]

    def extend(self, entries: Sequence[Entry]) -> list[Event]:
        """Add several events, all or none.

        Raises:
            DiffersError: An intention is closed already.
        """
        if not entries:
            return []
        head = schema.HEAD
        events: list[Event] = []
        with self._begin(write=True) as connection:
            seq, before = connection.execute(
                sa.select(head.c.seq, head.c.hash).with_for_update()
            ).one()
            last = connection.scalar(
                sa.select(schema.EVENTS.c.at).where(schema.EVENTS.c.seq == seq)
            )
            at = max(_text(datetime.now(UTC)), last or "")
            for number, entry in enumerate(entries, start=seq + 1):
                event = Event(**asdict(entry), seq=number, at=at, before=before)
                event = replace(event, hash=event.content_hash())
                connection.execute(schema.EVENTS.insert(), asdict(event))
                events.append(event)
                before = event.hash
            connection.execute(head.update().values(seq=seq + len(events), hash=before))
        return events

    def events(
        self, model: str | None = None, as_of: datetime | None = None, kind: str | None = None
    ) -> list[Event]:
        """Events in order, of one model, until a moment, of one kind."""
        table = schema.EVENTS
        wanted = sa.select(table).order_by(table.c.seq)
        if model is not None:
            wanted = wanted.where(table.c.model == model)
        if as_of is not None:
            wanted = wanted.where(table.c.at <= _text(as_of.astimezone(UTC)))
        if kind is not None:
            wanted = wanted.where(table.c.kind == kind)
        with self._begin() as connection:
            return [Event(**row) for row in connection.execute(wanted).mappings()]

    def rows(self) -> int:
        """How many events there are: a cheap way to see that something was decided."""
        with self._begin() as connection:
            return int(connection.execute(sa.select(schema.HEAD.c.seq)).scalar_one())

    def reign(self, model: str, as_of: datetime | None = None) -> Reign:
        """Champion, champions before it, and what is under way."""
        return reign(self.events(model, as_of))

    def champion(self, model: str, as_of: datetime | None = None) -> Event | None:
        """The promotion of who was champion at a moment, now by default."""
        return self.reign(model, as_of).champion

    def progress(self, model: str, weights: str) -> Progress:
        """How far a version has come in its review."""
        return progress(self.events(model), weights)

    def verify(self) -> list[str]:
        """Name every row that was changed, removed or put in; nothing if all is well."""
        with self._begin() as connection:
            head = connection.execute(sa.select(schema.HEAD.c.seq, schema.HEAD.c.hash)).first()
            rows = connection.execute(sa.select(schema.EVENTS).order_by(schema.EVENTS.c.seq))
            events = [Event(**row) for row in rows.mappings()]
        return damage(events, tuple(head)) if head else ["ledger: its head is missing"]

    @contextmanager
    def promotion(self, model: str) -> Iterator[None]:
        """Hold the model's champion: nobody else changes it until the block ends.

        Raises:
            UmoError: Somebody else holds it for too long.
        """
        with self._begin(locks=True) as connection:
            if self._postgres:
                lock = schema.LOCKS
                connection.execute(
                    postgresql.insert(lock).values(model=model).on_conflict_do_nothing()
                )
                connection.execute(sa.select(lock).where(lock.c.model == model).with_for_update())
            yield

    @property
    def _postgres(self) -> bool:
        return self._url.get_backend_name() == "postgresql"

    def _connectable(self, url: sa.URL) -> sa.Engine:
        arguments: dict[str, Any] = {
            "options": f"-c lock_timeout={PATIENCE}s -c idle_in_transaction_session_timeout=0"
        }
        if self._sqlite:
            arguments = {"timeout": PATIENCE, "isolation_level": None}
        engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args=arguments)
        if self._sqlite:
            sa.event.listen(engine, "begin", _begin_sqlite)
        return engine

    @contextmanager
    def _begin(self, *, write: bool = False, locks: bool = False) -> Iterator[sa.Connection]:
        engine = self._locks if locks else self._engine
        options = {"immediate": write or locks}
        try:
            with engine.execution_options(**options).begin() as connection:
                yield connection
        except sa.exc.IntegrityError as error:
            raise DiffersError(
                "somebody else has finished or undone this change already", hint="run it again"
            ) from error
        except sa.exc.DBAPIError as error:
            raise self._explained(error) from error

    def _explained(self, error: sa.exc.DBAPIError) -> UmoError:
        text = " ".join(str(error.orig).split())
        where = self._url.render_as_string()
        if "lock timeout" in text or "database is locked" in text:
            return UmoError(
                f"the ledger {where} was held by somebody else for {PATIENCE} s",
                hint="run the same command again",
                exit_code=ExitCode.INTERRUPTED,
                retryable=True,
            )
        if "permission denied" in text or "readonly" in text:
            return DeniedError(
                f"the ledger {where} refuses: {text}", hint="ask its owner for the rights"
            )
        return UmoError(f"the ledger {where} fails: {text}", hint="check UMO_LEDGER")


def _begin_sqlite(connection: sa.Connection) -> None:
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")
