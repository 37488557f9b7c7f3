"""Where runs, registered versions and the ledger are: a run folder, or servers on a cluster."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from umo.errors import NotFoundError, UsageError

TRACKING = "MLFLOW_TRACKING_URI"
LEDGER = "UMO_LEDGER"
SQLITE = "sqlite:///"


@dataclass(frozen=True, kw_only=True)
class Store:
    """One MLflow and the ledger that belongs to it."""

    tracking: str
    """MLflow's tracking and registry URI."""
    ledger: str
    """SQLAlchemy URL; may hold a password."""

    @classmethod
    def local(cls, out: Path) -> "Store":
        """The store of the run folder `out`."""
        folder = out.resolve()
        return cls(
            tracking=f"{SQLITE}{folder / 'mlflow.db'}", ledger=f"{SQLITE}{folder / 'ledger.db'}"
        )

    @classmethod
    def of_run(cls, out: Path) -> "Store":
        """Where a run in the folder `out` is recorded: the environment's servers, else there.

        Raises:
            UsageError: The environment names an MLflow server and no ledger.
        """
        local = cls.local(out)
        tracking = os.environ.get(TRACKING) or local.tracking
        ledger = os.environ.get(LEDGER) or _beside(tracking)
        if not ledger:
            raise UsageError(
                f"{TRACKING} names a server, but {LEDGER} is not set",
                hint=f"set {LEDGER} to the ledger's database, for example postgresql://host/umo",
            )
        return cls(tracking=tracking, ledger=ledger)

    @classmethod
    def followed(cls) -> "Store | None":
        """Where the environment wants runs to be followed, if it names an MLflow.

        Following needs no ledger: `ledger` may be empty.
        """
        tracking = os.environ.get(TRACKING)
        if not tracking:
            return None
        return cls(tracking=tracking, ledger=os.environ.get(LEDGER) or _beside(tracking))

    @classmethod
    def existing(cls, out: Path | None, *, default: Path) -> "Store":
        """The store of the run folder `out`, else the environment's, else that of `default`.

        Raises:
            NotFoundError: There is no run in the folder.
            UsageError: The environment names an MLflow server and no ledger.
        """
        store = cls.local(out) if out else cls.of_run(default)
        if store.file and not store.file.is_file():
            raise NotFoundError(
                f"no MLflow store at {store.file}",
                hint=f"run `umo run`, name a run folder with --run, or set {TRACKING}",
            )
        return store

    @property
    def file(self) -> Path | None:
        """MLflow's SQLite file, if it is one; artifacts lie beside it."""
        return _sqlite_file(self.tracking)

    @property
    def shown(self) -> str:
        """MLflow's address without user and password."""
        parts = urlsplit(self.tracking)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _beside(tracking: str) -> str:
    file = _sqlite_file(tracking)
    return f"{SQLITE}{file.parent / 'ledger.db'}" if file else ""


def _sqlite_file(uri: str) -> Path | None:
    return Path(uri.removeprefix(SQLITE)).resolve() if uri.startswith(SQLITE) else None
