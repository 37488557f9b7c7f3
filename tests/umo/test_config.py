from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from umo import config
from umo.errors import NotFoundError, UsageError


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float = 0.5
    kind: Literal["a", "b"] = "a"

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise ValueError(f"rate {self.rate} is below 0")


@dataclass(frozen=True, kw_only=True)
class Outer:
    steps: int
    inner: Inner = field(default_factory=Inner)
    maybe: Inner | None = None
    many: tuple[Inner, ...] = ()
    folder: Path = Path("x")


def test_mapping_round_trip() -> None:
    built = config.from_mapping(Outer, {"steps": 3, "inner": {"rate": 1}, "many": [{"kind": "b"}]})
    assert built == Outer(steps=3, inner=Inner(rate=1.0), many=(Inner(kind="b"),))
    assert config.from_mapping(Outer, config.to_mapping(built)) == built


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 1, "stepz": 2}, "unknown key 'stepz'; known keys: folder, inner"),
        ({"steps": 1, "inner": {"rat": 1}}, "inner: unknown key 'rat'; known keys: kind, rate"),
        ({"steps": 1, "maybe": {"rat": 1}}, "maybe: unknown key 'rat'"),
        ({"steps": 1, "many": [{"rat": 1}]}, "many: unknown key 'rat'"),
        ({"steps": "many"}, "steps is 'many': Input should be a valid integer"),
        ({"steps": 1, "inner": {"kind": "c"}}, "inner.kind is 'c': Input should be 'a' or 'b'"),
        ({"steps": 1, "inner": {"rate": -1}}, "test: inner: rate -1.0 is below 0"),
        ({}, "test: steps is required"),
    ],
)
def test_wrong_settings_give_one_line(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        config.from_mapping(Outer, values, where="test")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@dataclass(frozen=True, kw_only=True)
class Whole:
    outer: Outer = field(default_factory=lambda: Outer(steps=7, inner=Inner(kind="b")))


def test_values_change_the_default_of_their_field() -> None:
    built = config.from_mapping(Whole, {"outer": {"inner": {"rate": 2}}})
    assert built == Whole(outer=Outer(steps=7, inner=Inner(rate=2.0, kind="b")))


def test_load_reads_yaml(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("steps: 4\ninner:\n  kind: b\n")
    assert config.load(Outer, path) == Outer(steps=4, inner=Inner(kind="b"))


@pytest.mark.parametrize("text", ["a: [1", "- 1\n- 2", "steps: 1\nstepz: 2"])
def test_load_refuses(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"run\.yaml") as caught:
        config.load(Outer, path)
    assert "\n" not in str(caught.value)


def test_load_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no configuration file"):
        config.load(Outer, tmp_path / "none.yaml")
    with pytest.raises(UsageError, match="cannot read"):
        config.load(Outer, tmp_path)


def test_digest_is_of_the_values() -> None:
    assert config.digest(Outer(steps=1)) == config.digest(config.to_mapping(Outer(steps=1)))
    assert config.digest(Outer(steps=1)) != config.digest(Outer(steps=2))
    assert config.digest({"a": 1, "b": 2}) == config.digest({"b": 2, "a": 1})
