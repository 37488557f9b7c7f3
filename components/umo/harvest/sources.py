"""Sources: the folders of photos and videos that a harvest reads, and their units of work."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from umo import config as settings
from umo.errors import NotFoundError, UsageError

Kind = Literal["photos", "videos"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A folder with everything in and below it, and what allows its use."""

    kind: Kind
    folder: Path
    licence: str
    """Licence of the pictures."""
    consent: str
    """How the people in them consented, for example the name of a release form."""

    def __post_init__(self) -> None:
        for name in ("licence", "consent"):
            if not getattr(self, name).strip():
                raise UsageError(
                    f"no {name} is named for {self.folder}", hint=f"give --{name}, in your words"
                )


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Files that are worked on at once: a video, or a block of photos."""

    number: int
    source: int
    """Number of the source."""
    kind: Kind
    folder: Path
    files: tuple[str, ...]
    """Paths below the folder."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All units of a few sources."""

    sources: tuple[Source, ...]
    units: tuple[Unit, ...]
    digest: str
    """sha256 over the sources' names, sizes and times of change: whether a file was touched."""

    @property
    def files(self) -> int:
        """Number of files."""
        return sum(len(unit.files) for unit in self.units)


def list_sources(sources: Sequence[Source], block: int) -> Listing:
    """List the files of sources, in the order of their names.

    Args:
        sources: In an order that counts.
        block: Photos in a unit.

    Raises:
        NotFoundError: A folder does not exist.
        UsageError: There is no source, or no file in any.
    """
    units: list[Unit] = []
    seen = []
    for number, source in enumerate(sources):
        found = list(_files(source.folder))
        seen.append([source.kind, [fact for _, fact in found]])
        size = block if source.kind == "photos" else 1
        for start in range(0, len(found), size):
            units.append(
                Unit(
                    number=len(units),
                    source=number,
                    kind=source.kind,
                    folder=source.folder,
                    files=tuple(name for name, _ in found[start : start + size]),
                )
            )
    if not units:
        folders = ", ".join(str(source.folder) for source in sources)
        raise UsageError(
            f"no file in {folders or 'no folder at all'}", hint="name --photos or --videos"
        )
    return Listing(sources=tuple(sources), units=tuple(units), digest=settings.digest(seen))


def _files(folder: Path) -> Iterator[tuple[str, list[str | int]]]:
    if not folder.is_dir():
        raise NotFoundError(f"no folder {folder}")
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        status = path.lstat()
        name = path.relative_to(folder).as_posix()
        yield name, [name, status.st_size, status.st_mtime_ns]
