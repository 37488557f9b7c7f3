"""A share of work that is cut into numbered pieces: any number of processes do one each."""

from dataclasses import dataclass
from typing import Self

from umo.errors import UsageError


@dataclass(frozen=True)
class Share:
    """Every `count`-th piece of work, from `number` on; by default all of it.

    Raises:
        UsageError: There is no such share.
    """

    number: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.count:
            raise UsageError(
                f"share {self.number} of {self.count} does not exist", hint="count from 0"
            )

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The share that is written `number/count`.

        Raises:
            UsageError: It is not, or there is no such share.
        """
        number, slash, count = text.partition("/")
        if not (slash and number.isdecimal() and count.isdecimal()):
            raise UsageError(f"the share {text!r} is not I/N", hint="for example 0/2")
        return cls(int(number), int(count))

    def of(self, pieces: int) -> range:
        """The numbers of its pieces."""
        return range(self.number, pieces, self.count)
