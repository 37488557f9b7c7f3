"""A candidate under review: its version in MLflow and what the ledger knows of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from umo.errors import DeniedError, DiffersError
from umo.files import MANIFEST, read_manifest, sha256
from umo.ledger import Entry, Ledger
from umo.ledger.history import Progress
from umo.registry import Registry, Version

EVALUATION = "evaluation"
REVIEW = "review"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One candidate and how far it has come."""

    name: str
    """Model name, without `-candidates`."""
    version: Version
    progress: Progress

    @classmethod
    def open(cls, registry: Registry, ledger: Ledger, name: str, number: int) -> "Case":
        """Look a candidate up.

        Raises:
            NotFoundError: There is no such version.
        """
        version = registry.candidate(name, number)
        return cls(name=name, version=version, progress=ledger.progress(name, version.digest))

    @property
    def title(self) -> str:
        """What a person calls it."""
        return f"{self.name} {self.version.version}"

    @property
    def manifest(self) -> str:
        """sha256 of its manifest as the ledger recorded it."""
        registered = self.progress.registered
        return str(registered.details["manifest"]) if registered else self.version.manifest

    @property
    def evaluation_run(self) -> str:
        """MLflow run with the evaluation that counts, the last that the ledger knows."""
        judged = self.progress.evaluated
        return str(judged.details["run"]) if judged else self.version.run

    def entry(self, kind: str, actor: str, **fields: Any) -> Entry:
        """An entry on this candidate; the state it is in is what was before."""
        return Entry(
            **{
                "kind": kind,
                "actor": actor,
                "model": self.name,
                "version": self.version.version,
                "weights": self.version.digest,
                "previous": self.progress.state,
                **fields,
            }
        )

    def refused(self, actor: str, action: str) -> Entry:
        """The entry for `refusals_recorded`."""
        return self.entry("refused", actor, details={"action": action})

    def arrival(self, actor: str, run: str, evaluation: Path) -> list[Entry]:
        """What the ledger does not know yet: that it was registered, and judged.

        Args:
            actor: Who says so.
            run: MLflow run with the evaluation.
            evaluation: A copy of it.
        """
        entries = []
        if not self.progress.registered:
            details = {"run": self.version.run, "manifest": self.version.manifest}
            entries.append(self.entry("registered", actor, previous="", details=details))
        judged = self.progress.evaluated
        details = {
            "run": run,
            "digest": read_manifest(evaluation)["digest"],
            "manifest": sha256(evaluation / MANIFEST),
        }
        if not judged or judged.details != details:
            entries.append(self.entry("evaluated", actor, details=details))
        return entries


@contextmanager
def refusals_recorded(ledger: Ledger, refused: Entry, *, dry_run: bool) -> Iterator[None]:
    """Record what the body refuses, then refuse it.

    Args:
        ledger: Where it is recorded, unless this is a dry run.
        refused: An entry of that kind, without its reason.
        dry_run: Whether nothing is recorded.
    """
    try:
        yield
    except (DeniedError, DiffersError) as error:
        if not dry_run:
            details = {**refused.details, "exit_code": int(error.exit_code)}
            ledger.extend([replace(refused, reason=error.message, details=details)])
        raise
