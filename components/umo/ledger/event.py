"""One row of the ledger, and the hash that chains it to the row before.

`hash[n] = sha256(canonical JSON of every other column of row n)`, and one of those columns is
`before = hash[n - 1]`. So a row cannot be changed without changing the hash of every later one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from umo import config

KINDS = (
    "registered",
    "evaluated",
    "gate_passed",
    "gate_failed",
    "waived",
    "submitted",
    "approved",
    "rejected",
    "revoked",
    "intended",
    "abandoned",
    "promoted",
    "rolled_back",
    "deployed",
    "refused",
    "reconciled",
)
"""What an event can say. `intended` opens a change of champion; exactly one of `promoted`,
`rolled_back` and `abandoned` closes it."""

GENESIS = "0" * 64
"""What the first row follows."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What somebody says of a version."""

    kind: str
    """One of `KINDS`."""
    actor: str
    """Who did it."""
    model: str
    """Model name, without `-candidates`."""
    version: int
    """Version number among the candidates."""
    weights: str
    """Digest of the weights."""
    report: str = ""
    """sha256 of the review report that this rests on."""
    reason: str = ""
    """Why."""
    previous: str = ""
    """What was before: of a change of champion the old champion's weights, else the state."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON values."""
    closes: int | None = None
    """Row of the intention that this closes."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind is {self.kind!r}, not one of {', '.join(KINDS)}")


@dataclass(frozen=True, kw_only=True)
class Event(Entry):
    """An entry in its place in the ledger."""

    seq: int
    """Row number, from 1, without gaps."""
    at: str
    """UTC, ISO 8601 with microseconds, never before the row before."""
    before: str
    """Hash of the row before."""
    hash: str = ""
    """Of every other column."""

    def content_hash(self) -> str:
        """The hash that this content should have."""
        return config.digest({key: v for key, v in asdict(self).items() if key != "hash"})

    def __str__(self) -> str:
        """How a person calls the row."""
        return f"row {self.seq} ({self.kind} {self.model} {self.version} by {self.actor})"


def damage(events: Iterable[Event], head: tuple[int, str]) -> list[str]:
    """Name every row that was changed, removed or put in.

    Args:
        events: Every row of the ledger, by number.
        head: Number and hash that the last row should have.

    Returns:
        One line a fault; nothing if the chain holds.
    """
    faults: list[str] = []
    seq, before = 0, GENESIS
    for event in events:
        if event.seq != seq + 1:
            faults.append(f"ledger: {_rows(seq + 1, event.seq - 1)} missing")
        elif event.before != before:
            faults.append(f"ledger: {event} does not follow row {seq}: one of them was rewritten")
        if event.hash != event.content_hash():
            faults.append(f"ledger: {event} was changed: its content does not match its hash")
        seq, before = event.seq, event.hash
    if seq < head[0]:
        faults.append(f"ledger: {_rows(seq + 1, head[0])} missing at the end")
    elif (seq, before) != head:
        faults.append(f"ledger: row {seq} is not the last row that was written, row {head[0]}")
    return faults


def _rows(first: int, last: int) -> str:
    return f"row {first} is" if first == last else f"rows {first} to {last} are"
