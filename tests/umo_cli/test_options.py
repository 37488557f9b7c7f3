from dataclasses import dataclass, field
from pathlib import Path

import pytest

from umo.errors import NotFoundError, UsageError
from umo_cli.options import configure


@dataclass(frozen=True, kw_only=True)
class Training:
    rate: float = 0.1
    steps: int = 10


@dataclass(frozen=True, kw_only=True)
class Config:
    seed: int = 0
    name: str | None = None
    training: Training = field(default_factory=Training)


def test_defaults() -> None:
    assert configure(Config, None, None) == Config()


def test_options_win_over_assignments_and_those_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("seed: 1\nname: file\ntraining: {rate: 0.5, steps: 5}\n")
    built = configure(Config, path, ["seed=2", "training.rate=1e-3"], seed=3, name=None)
    assert built == Config(seed=3, name="file", training=Training(rate=0.001, steps=5))


def test_assignments_reach_inside_without_a_file() -> None:
    built = configure(Config, None, ["training.steps=3", "name=a=b"])
    assert built == Config(name="a=b", training=Training(steps=3))


@pytest.mark.parametrize("assignment", ["seed", "=1", "training.=1", "seed=[1", "sed=1", "seed=x"])
def test_wrong_assignments_are_refused(assignment: str) -> None:
    with pytest.raises(UsageError):
        configure(Config, None, [assignment])


def test_missing_file() -> None:
    with pytest.raises(NotFoundError, match=r"none\.yaml"):
        configure(Config, Path("none.yaml"), None)
