"""Tables of the ledger, and the migrations that bring an older one up to date."""

from importlib.resources import files as package_files

from sqlalchemy import JSON, Column, Connection, Integer, MetaData, String, Table, inspect, select

from umo.errors import DiffersError

VERSION = "2"
"""The last migration."""

_metadata = MetaData()

EVENTS = Table(
    "events",
    _metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("actor", String, nullable=False),
    Column("model", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("weights", String, nullable=False),
    Column("report", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("previous", String, nullable=False),
    Column("details", JSON, nullable=False),
    Column("closes", Integer, unique=True),
    Column("before", String, nullable=False),
    Column("hash", String, nullable=False),
)

HEAD = Table(
    "head",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("hash", String, nullable=False),
)
"""One row: number and hash of the last event. Whoever appends holds it."""

LOCKS = Table("locks", _metadata, Column("model", String, primary_key=True))
"""A row for each model; whoever changes its champion holds it."""

_alembic = Table("alembic_version", _metadata, Column("version_num", String, primary_key=True))


def version(connection: Connection) -> str:
    """The last migration that was run there; nothing in a new database."""
    if not inspect(connection).has_table(_alembic.name):
        return ""
    return connection.scalar(select(_alembic.c.version_num)) or ""


def upgrade(connection: Connection, target: str = VERSION) -> None:
    """Run the migrations up to `target` in the transaction of `connection`.

    Raises:
        DiffersError: The ledger was written by a newer umo.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    settings = Config(attributes={"connection": connection})
    settings.set_main_option("script_location", str(package_files("umo") / "migrations"))
    try:
        command.upgrade(settings, target)
    except CommandError as error:
        raise DiffersError(
            f"the ledger has schema {version(connection)}, this umo knows up to {VERSION}",
            hint="install a newer umo",
        ) from error
