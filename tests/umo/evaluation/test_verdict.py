"""The verdict says no more than the intervals allow."""

from pathlib import Path
from typing import Any, Literal

import pytest

from services.scored_models import entry, write_scored
from umo.evaluation.comparison import Comparison, ComparisonConfig, compare
from umo.evaluation.scored import read_scored
from umo.evaluation.verdict import against_first, failures, ranking, verdict


def pair(near: float, far: float) -> list[list[float]]:
    """Cosines of two people: their own face and the other's."""
    return [[near, far], [far, near]]


ALONE = [[0.8], [0.1]]
"""One face for two people."""


def made(
    folder: Path, definition: Literal["paper", "scripts"] = "paper", **models: list[Any]
) -> Comparison:
    """Four items of two people; a model has cosines for each."""
    return compare(
        [
            read_scored(
                write_scored(
                    folder / name, name, [entry(str(n), [c]) for n, c in enumerate(cosines)]
                )
            )
            for name, cosines in models.items()
        ],
        ComparisonConfig(resamples=200, definition=definition),
    )


@pytest.mark.parametrize(
    ("new", "claim"),
    [
        ([pair(0.8, 0.1)] * 4, "new is better than old"),
        ([pair(0.3, 0.2)] * 4, "old is better than new"),
        ([pair(0.5, 0.2)] * 4, "old and new do not differ clearly"),
        ([pair(0.8, 0.6)] * 4, "new is nearer to the references than old but confuses"),
        ([pair(0.5, 0.0)] * 4, "new confuses people less than old"),
        ([pair(0.8, 0.32)] * 4, "new is nearer to the references than old on"),
        ([pair(0.6, 0.0), pair(0.4, 0.4)] * 2, "old and new do not differ clearly"),
    ],
)
def test_claims(tmp_path: Path, new: list[Any], claim: str) -> None:
    assert verdict(made(tmp_path, old=[pair(0.5, 0.2)] * 4, new=new)).startswith(claim)


def test_a_better_model_that_loses_people(tmp_path: Path) -> None:
    lost = [[[0.95], [0.7]]] * 4
    said = verdict(made(tmp_path, "scripts", old=[pair(0.5, 0.2)] * 4, new=lost))
    assert said.startswith("new is nearer to the references than old but loses more people on 4")
    assert "ID-Sim 82.5 against 50.0 (+32.5, 95 % interval +32.5 to +32.5)" in said
    assert "ID-Conf" not in said, "the scripts skip pictures with one face: not measured"


def test_of_several_the_best_two_are_held_against_each_other(tmp_path: Path) -> None:
    comparison = made(
        tmp_path, bad=[pair(0.1, 0)] * 4, best=[pair(0.9, 0)] * 4, second=[pair(0.6, 0.3)] * 4
    )
    assert ranking(comparison) == ["best", "second", "bad"]
    assert verdict(comparison) == (
        "Of 3 models, best is better than second on 4 items of xversebench-multi: ID-Sim 90.0 "
        "against 60.0 (+30.0, 95 % interval +30.0 to +30.0); ID-Conf 100.0 against 50.0 (+50.0, "
        "95 % interval +50.0 to +50.0)."
    )
    assert against_first(comparison) == (
        "Against the first model, best is nearer to the references than bad: ID-Sim 90.0 against "
        "10.0 (+80.0, 95 % interval +80.0 to +80.0); ID-Conf 100.0 against 100.0 (+0.0, 95 % "
        "interval +0.0 to +0.0)."
    )


def test_what_the_verdict_says_is_not_said_again(tmp_path: Path) -> None:
    two = made(tmp_path / "two", bad=[pair(0.1, 0)] * 4, best=[pair(0.9, 0)] * 4)
    assert against_first(two) == ""
    first = made(
        tmp_path / "three", best=[pair(0.9, 0)] * 4, bad=[pair(0.1, 0)] * 4, two=[ALONE] * 4
    )
    assert against_first(first) == ""


def test_one_model_alone(tmp_path: Path) -> None:
    assert verdict(made(tmp_path, only=[pair(0.5, 0.2)] * 4)) == (
        "only scores ID-Sim 50.0, ID-Conf 60.0 on 4 items of xversebench-multi."
    )


def test_where_it_fails(tmp_path: Path) -> None:
    crowd = [[0.9, 0, 0, 0], [0, 0.2, 0, 0], [0, 0, 0.7, 0], [0, 0, 0.8, 0]]
    items = [
        entry("a", [pair(0.9, 0.1)]),
        entry("b", [ALONE]),
        entry("c", [[[0.5, 0.4]]]),
        entry("d", [crowd]),
    ]
    comparison = compare([read_scored(write_scored(tmp_path / "m", "m", items))])
    assert failures(comparison) == (
        "Where m fails: lowest ID-Sim 50.0 with one person; least like their references: ben (40), "
        "carl (70), anna (78); missing people: 1 of 9; extra people: 1 in 4 pictures; mixed-up "
        "people: 4 of 8."
    )
