"""What should be served: the champion that ledger and MLflow agree on, approved and not revoked."""

from dataclasses import dataclass

from umo.errors import DeniedError, ExitCode, UmoError
from umo.ledger import Ledger
from umo.registry import CHAMPION, Registry, Version
from umo_serving.routes import Target


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The version to serve, and why."""

    name: str
    """The model."""
    version: Version
    """Its version in MLflow."""
    candidate: int
    """Number of the candidate that it was, which the ledger calls it by."""
    manifest: str
    """sha256 that its manifest had when it was promoted."""
    decision: int
    """Row of the ledger that made it the champion."""
    returns: bool
    """Whether that was a roll-back: it answered before, and whoever does now has to go."""

    @property
    def target(self) -> Target:
        """What the routes call it."""
        return Target(version=str(self.version.version), digest=self.version.digest)


def wanted(registry: Registry, ledger: Ledger, name: str) -> Wanted | None:
    """The version of a model that should be served; None if it never had a champion.

    Raises:
        DeniedError: The champion's approval was revoked.
        UmoError: Ledger and MLflow do not agree now; they may later.
    """
    reign = ledger.reign(name)
    champion, decided = reign.champion, reign.decided
    if champion is None or decided is None:
        return None
    decision = ledger.progress(name, champion.weights).decision
    if decision and decision.kind != "approved":
        raise DeniedError(
            f"the champion of {name}, candidate {champion.version}, is {decision.kind}",
            hint=f"go back with `umo models rollback {name}`",
        )
    version = registry.find(name, champion.weights)
    alias = registry.aliases(name).get(CHAMPION)
    if version is None or alias != version.version:
        raise UmoError(
            f"the ledger's champion of {name} is candidate {champion.version}, version "
            f"{version.version if version else 'none'} of it; MLflow's is version {alias}",
            hint=f"if it stays so, run `umo models reconcile {name}`",
            exit_code=ExitCode.INTERRUPTED,
            retryable=True,
        )
    return Wanted(
        name=name,
        version=version,
        candidate=champion.version,
        manifest=str(champion.details["manifest"]),
        decision=decided.seq,
        returns=decided.kind == "rolled_back",
    )
