"""Routes: which loaded version answers. One small file beside the models, replaced atomically.

Every version is a Triton model of its own, `umo_v<version>`, so that loading or losing one touches
no other. Callers ask for `umo`, which looks the version up here for every call.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from umo.errors import DiffersError, UsageError
from umo.files import write_text
from umo_serving.failures import unavailable

FILE = "routes.json"


@dataclass(frozen=True, kw_only=True)
class Target:
    """A version that answers calls."""

    version: str
    """Version in the registry."""
    digest: str
    """sha256 of its weights."""

    @property
    def model(self) -> str:
        """Name of its Triton model."""
        return model_name(self.version)


@dataclass(frozen=True, kw_only=True)
class Routes:
    """Who answers."""

    champion: Target
    """Answers every call that the challenger does not."""
    challenger: Target | None = None
    """A version on trial."""
    share: float = 0.0
    """Part of the calls that the challenger answers, 0 to 1."""
    previous: Target | None = None
    """The champion before, while it is not sure yet that the new one answers; it stays loaded."""

    def __post_init__(self) -> None:
        """Check the share.

        Raises:
            UsageError: It is no part, or there is no challenger to have it.
        """
        if not 0 <= self.share <= 1 or (self.share and not self.challenger):
            raise UsageError(f"a share of {self.share} for challenger {self.challenger}")

    def choose(self, request_id: str) -> Target:
        """The version that answers a call; a repeated call has the same answer."""
        drawn = int.from_bytes(hashlib.sha256(request_id.encode()).digest()[:8]) / 2**64
        return self.challenger if self.challenger and drawn < self.share else self.champion

    def targets(self) -> list[Target]:
        """Every version that has to be loaded."""
        return [one for one in (self.champion, self.challenger, self.previous) if one]


def model_name(version: str) -> str:
    """Name of the Triton model of a version."""
    return f"umo_v{version}"


def read(repository: Path) -> Routes:
    """The routes of a model repository.

    Raises:
        UmoError: Nothing is routed yet; it may be later.
        DiffersError: The file is not one that `write` wrote.
    """
    try:
        plain = json.loads((repository / FILE).read_text(encoding="utf-8"))
        others = {name: Target(**plain[name]) for name in ("challenger", "previous") if plain[name]}
        return Routes(champion=Target(**plain["champion"]), share=float(plain["share"]), **others)
    except FileNotFoundError:
        raise unavailable("no version of the model is served yet") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DiffersError(f"{repository / FILE} holds no routes: {error!r}") from error


def write(repository: Path, routes: Routes) -> None:
    """Replace the routes of a model repository; calls see the old ones or the new ones."""
    write_text(repository / FILE, json.dumps(asdict(routes), indent=1) + "\n")


class Watched:
    """The routes of a repository, read again when the file changes.

    Args:
        repository: Folder of the models.
    """

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._stamp: tuple[int, int] | None = None
        self._routes: Routes | None = None

    def current(self) -> Routes:
        """The routes as they are now.

        Raises:
            UmoError: Nothing is routed yet; it may be later.
        """
        try:
            status = (self._repository / FILE).stat()
        except FileNotFoundError:
            raise unavailable("no version of the model is served yet") from None
        stamp = (status.st_mtime_ns, status.st_ino)
        if self._routes is None or stamp != self._stamp:
            self._routes, self._stamp = read(self._repository), stamp
        return self._routes
