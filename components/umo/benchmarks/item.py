"""What every benchmark is: prompts, reference pictures, and where a model's pictures of them lie.

A benchmark keeps what is wrong with its own files as failures, so that an item that cannot be used
is named and counted, never silently left out.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

TWICE = "the item is there twice"


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A picture that a model takes."""

    name: str
    """What reports call it, for example `human/05_man.jpg`."""
    file: Path
    """Where it is, if it is there."""
    identity: str = ""
    """Who it shows; empty for an object or an animal."""
    other: Path | None = None
    """Another real picture of the same person."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One prompt; all pictures of it by a model are cells of one PNG."""

    key: str
    """Unique in the benchmark."""
    prompt: str
    """What to paint."""
    group: str
    """How many people are asked for, or the kind of task."""
    references: tuple[Reference, ...]
    """In the order in which a model takes them."""
    file: str
    """The PNG, below a folder of pictures."""
    pattern: str = ""
    """Glob of other names under which the PNG counts as well."""
    arrangement: tuple[int, ...] | None = None
    """Place from the left, from 0, at which each person is asked for."""

    @property
    def people(self) -> tuple[Reference, ...]:
        """The references that show a person."""
        return tuple(reference for reference in self.references if reference.identity)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Something that cannot be scored."""

    key: str
    """The item; empty if it is the whole benchmark."""
    name: str
    """The file, reference or picture."""
    error: str
    """What is wrong, on one line."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Items to paint and score."""

    name: str
    """For example `xversebench-multi`."""
    version: str
    """sha256 of what defines the items."""
    items: tuple[Item, ...]
    """The usable ones, in order."""
    grid: int
    """Pictures on a side of an item's PNG: 2 for a grid of 2 x 2."""
    failures: tuple[Failure, ...] = ()
    """Items of the file that are not usable, and a version that nobody knows."""
    faceless: bool = False
    """Whether a reference may turn out to show nobody, and then does not count."""
    largest: bool = False
    """Whether the public scripts take the largest face of a reference, else its first one."""
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """What else is known of it, for manifests."""

    @property
    def absent(self) -> list[str]:
        """Names of reference pictures that are not there."""
        references = {r.name: r.file for item in self.items for r in item.references}
        return sorted(name for name, file in references.items() if not file.is_file())


def sound(
    entries: Iterable[tuple[str, Item | str]], failures: list[Failure], *, where: str
) -> Iterator[Item]:
    """Items in order; the reason why an entry is none, and a second item of a key, are failures.

    Args:
        entries: Key and item, or key and what is wrong.
        failures: Gets the failures.
        where: Name of the file that the entries are from.
    """
    keys: set[str] = set()
    for key, item in entries:
        if isinstance(item, str):
            failures.append(Failure(key=key, name=where, error=item))
        elif key in keys:
            failures.append(Failure(key=key, name=where, error=TWICE))
        else:
            keys.add(key)
            yield item


def file_name(text: str) -> str:
    """A text as one part of a path: whatever stands for another folder or a line end becomes _."""
    return re.sub(r"[\s/\\\x00]", "_", text)
