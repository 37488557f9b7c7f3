"""The ledger knows its last row, so that a cut tail is found, and locks for promotion."""

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"


def upgrade() -> None:
    """Create the tables; the head of a ledger with rows is its last one."""
    head = op.create_table(
        "head",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("hash", sa.String, nullable=False),
    )
    op.create_table("locks", sa.Column("model", sa.String, primary_key=True))
    events = sa.table("events", sa.column("seq", sa.Integer), sa.column("hash", sa.String))
    last = (
        op.get_bind()
        .execute(sa.select(events.c.seq, events.c.hash).order_by(events.c.seq.desc()).limit(1))
        .first()
    )
    seq, digest = last or (0, "0" * 64)
    op.bulk_insert(head, [{"id": 1, "seq": seq, "hash": digest}])
