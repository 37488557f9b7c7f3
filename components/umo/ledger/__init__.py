"""The ledger: who did what to which version, when and why, in rows that only ever get added."""

from umo.ledger.event import Entry, Event
from umo.ledger.store import Ledger

__all__ = ["Entry", "Event", "Ledger"]
