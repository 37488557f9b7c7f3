"""What the events add up to: the champions of a model, and how far a version has come."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from umo.ledger.event import Event


@dataclass(frozen=True, kw_only=True)
class Reign:
    """Who is champion, who was, and what change of it is under way."""

    champions: Sequence[Event]
    """The promotions that were not rolled back, oldest first."""
    decided: Event | None
    """The promotion or roll-back that made the champion what it is."""
    pending: Event | None
    """The intention that nothing has closed."""

    @property
    def champion(self) -> Event | None:
        """The promotion of the champion."""
        return self.champions[-1] if self.champions else None

    @property
    def weights(self) -> str:
        """Digest of the champion's weights; nothing if there is none."""
        return self.champion.weights if self.champion else ""

    @property
    def previous(self) -> Event | None:
        """The promotion of the champion before."""
        return self.champions[-2] if len(self.champions) > 1 else None


@dataclass(kw_only=True)
class Progress:
    """How far a version has come in its review."""

    registered: Event | None = None
    """Its first registration."""
    trainers: set[str] = field(default_factory=set)
    """Who registered or submitted these weights."""
    evaluated: Event | None = None
    """Its last evaluation."""
    gates: list[Event] = field(default_factory=list)
    """Verdicts of the last submission."""
    waivers: list[Event] = field(default_factory=list)
    """Gates that somebody let pass."""
    submitted: Event | None = None
    """The last submission, if no gate failed."""
    decision: Event | None = None
    """The last decision on the report of that submission."""

    @property
    def approval(self) -> Event | None:
        """The approval that holds: of the last submission's report, and not taken back."""
        return self.decision if self.decision and self.decision.kind == "approved" else None

    @property
    def state(self) -> str:
        """One word for it."""
        if self.decision:
            return self.decision.kind
        if self.submitted:
            return "submitted"
        if self.gates:
            return "gates failed"
        return "evaluated" if self.evaluated else "registered"


def reign(events: Iterable[Event]) -> Reign:
    """Fold the events of one model, in order, into its reign.

    A roll-back takes back every champion since the one it returns to.
    """
    champions: list[Event] = []
    decided: Event | None = None
    pending: Event | None = None
    for event in events:
        match event.kind:
            case "intended":
                pending = event
            case "abandoned":
                pending = None
            case "promoted":
                pending, decided = None, event
                champions.append(event)
            case "rolled_back":
                pending, decided = None, event
                while champions and champions[-1].seq != event.details["restores"]:
                    champions.pop()
    return Reign(champions=tuple(champions), decided=decided, pending=pending)


def progress(events: Iterable[Event], weights: str) -> Progress:
    """Fold the events of one model, in order, into the progress of the version with `weights`."""
    found = Progress()
    for event in events:
        if event.weights != weights:
            continue
        match event.kind:
            case "registered":
                found.registered = found.registered or event
                found.trainers.add(event.actor)
            case "evaluated":
                found.evaluated = event
            case "waived":
                found.waivers.append(event)
            case "gate_passed" | "gate_failed":
                last = found.gates[-1].details["manifest"] if found.gates else ""
                if last != event.details["manifest"]:
                    found.gates, found.submitted, found.decision = [], None, None
                found.gates.append(event)
            case "submitted":
                found.trainers.add(event.actor)
                found.submitted = event
            case "approved" | "rejected" | "revoked":
                found.decision = event
    return found
