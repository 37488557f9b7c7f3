"""What the ledger says of a decision's way to the servers.

A deployer writes `deployed` when a server answers with the champion that a decision made, or
`refused` when it found that it must not answer.
"""

from umo.ledger import Event, Ledger

ACTION = "deploy"
"""What a refusal in the ledger says was tried."""


def deployed(ledger: Ledger, name: str, decision: int) -> Event | None:
    """The row that says that row `decision` is served; None if none does."""
    return _last(ledger, name, "deployed", decision)


def refusal(ledger: Ledger, name: str, decision: int) -> Event | None:
    """The row by which a deployer refused row `decision`; None if none did."""
    found = _last(ledger, name, "refused", decision)
    return found if found and found.details.get("action") == ACTION else None


def _last(ledger: Ledger, name: str, kind: str, decision: int) -> Event | None:
    events = reversed(ledger.events(name, kind=kind))
    return next((e for e in events if e.details.get("decision") == decision), None)
