"""People at the command line, each with an environment of their own."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from umo_cli.main import execute


@dataclass(frozen=True)
class Said:
    """What one command said."""

    code: int
    out: str
    error: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Person:
    """Somebody with these variables set."""

    def __init__(self, variables: Mapping[str, str], capture: pytest.CaptureFixture[str]) -> None:
        self.variables = variables
        self._capture = capture

    def but(self, **variables: str) -> "Person":
        """The same person with other variables."""
        return Person({**self.variables, **variables}, self._capture)

    def umo(self, *arguments: object) -> Said:
        """Give a command."""
        self._capture.readouterr()
        with self.at_work():
            code = execute([str(argument) for argument in arguments])
        printed = self._capture.readouterr()
        return Said(code, printed.out, printed.err)

    def models(self, *arguments: object) -> Any:
        """The answer of an `umo models` command that works."""
        said = self.umo("models", *arguments, "-o", "json")
        assert said.code == 0, said.error
        return said.json

    def refused(self, *arguments: object) -> tuple[int, str]:
        """Exit code and the one line of an `umo models` command that is refused."""
        said = self.umo("models", *arguments)
        assert (said.code > 0, said.out, said.error.count("\n")) == (True, "", 1), said
        assert said.error.startswith("error: ")
        assert "; " in said.error, "no next step"
        return said.code, said.error

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Everything in the block happens in this person's environment."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.variables.items():
                patch.setenv(name, value)
            yield
