"""The comparison's numbers against slow and obvious ones, straight from `scores.json`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.scored_models import entry, random_items, write_scored
from umo.errors import DiffersError, UsageError
from umo.evaluation.comparison import Comparison, ComparisonConfig, compare, to_mapping
from umo.evaluation.scored import read_scored

CONFIG = ComparisonConfig(resamples=200)
GOOD = [[0.8, 0.1], [0.0, 0.7]]
SWAPPED = [[0.1, 0.8], [0.7, 0.0]]


def made(folder: Path, **models: Any) -> Comparison:
    return compare(
        [read_scored(write_scored(folder / name, name, items)) for name, items in models.items()],
        CONFIG,
    )


@pytest.fixture
def two(tmp_path: Path) -> Comparison:
    """`bad` lacks item 5 and picture 2 of item 1."""
    bad = random_items(0.2, seed=2)[:-1]
    bad[1]["pictures"][2] = {"name": "item-1.png#2", "error": "damaged file"}
    return made(tmp_path, bad=bad, good=random_items(0.6, seed=1))


def slow_mean(comparison: Comparison, label: str, metric: Any, embedder: str, **only: str) -> Any:
    """Mean x 100 of `metric(cosines, item, picture)`, which gives a list, over what both have."""
    values: list[float] = []
    said = json.loads((comparison.models[label].folder / "scores.json").read_text())
    for item in said["items"]:
        for number, picture in enumerate(item["pictures"]):
            absent = item["key"] == "item-5" or (item["key"], number) == ("item-1", 2)
            if absent or item["group"] != only.get("group", item["group"]):
                continue
            values += metric(picture["similarity"][embedder], item, picture)
    return 100 * sum(values) / len(values) if values else None


SLOW: dict[str, Any] = {
    "id_sim": lambda e, item, picture: [max(row, default=0) for row in e],
    "missing": lambda e, item, picture: (
        [1] * max(len(e) - len(picture["boxes"]), 0)
        + [0] * (len(e) - max(len(e) - len(picture["boxes"]), 0))
    ),
    "extra": lambda e, item, picture: [max(len(picture["boxes"]) - len(e), 0)] if e else [],
    "mixed": lambda e, item, picture: (
        [[row.index(max(row)) for row in e].count(own.index(max(own))) > 1 for own in e]
        if len(e) > 1 and picture["boxes"]
        else []
    ),
    "copy_paste": lambda e, item, picture: [
        max(max(row) - {"anna": 0.6, "ben": 0.5}[reference["identity"]], 0)
        for row, reference in zip(e, item["references"], strict=True)
        if row and reference["identity"] in ("anna", "ben")
    ],
}


@pytest.mark.parametrize("name", SLOW)
@pytest.mark.parametrize("label", ["bad", "good"])
def test_levels_equal_the_slow_ones(two: Comparison, name: str, label: str) -> None:
    level = two.level(label, name)
    assert level
    assert level.mean == pytest.approx(slow_mean(two, label, SLOW[name], "judge"))
    for group in two.groups:
        part = two.level(label, name, group=group)
        slow = slow_mean(two, label, SLOW[name], "judge", group=group)
        assert (part.mean if part else None) == (pytest.approx(slow) if part else None)
    other = two.level(label, name, embedder="reward")
    if name == "copy_paste":
        assert other is None, "real photos were compared by the judge alone"
    else:
        assert other
        assert other.mean == pytest.approx(slow_mean(two, label, SLOW[name], "reward"))


def test_differences_are_paired(two: Comparison) -> None:
    gain = two.difference("good", "bad", "id_sim")
    assert gain
    levels = [two.level(label, "id_sim") for label in ("good", "bad")]
    assert levels[0]
    assert levels[1]
    assert gain.mean == pytest.approx(levels[0].mean - levels[1].mean)
    assert gain.low <= gain.mean <= gain.high


def test_what_one_model_lacks_is_left_out_and_named(two: Comparison) -> None:
    assert [(left.key, left.number, left.model, left.reason) for left in two.left_out] == [
        ("item-1", 2, "bad", "damaged file"),
        *[("item-5", number, "bad", "the item is missing") for number in range(4)],
    ]
    assert len(two.shots) == 19
    assert two.items() == 5
    assert two.groups == ["1", "2", "3"]


def test_people_are_told_apart(tmp_path: Path) -> None:
    comparison = made(tmp_path, m=[entry("a", [[[0.8, 0.1], [0.0, 0.5]], [[0.6], [0.1]]])])
    assert comparison.by_identity("m", "id_sim") == pytest.approx({"anna": 70, "ben": 30})
    assert comparison.by_identity("m", "missing") == {"anna": 0, "ben": 50}
    assert comparison.by_identity("m", "copy_paste") == pytest.approx({"anna": 10, "ben": 0})
    assert comparison.asked("anna") == 2


def test_swaps_are_seen_where_an_arrangement_was_asked_for(tmp_path: Path) -> None:
    asked = {"arrangement": [0, 1]}
    comparison = made(
        tmp_path,
        swapping=[entry("a", [SWAPPED], **asked), entry("b", [GOOD])],
        keeping=[entry("a", [GOOD], **asked), entry("b", [SWAPPED])],
    )
    levels = [comparison.level(label, "placed") for label in comparison.labels]
    assert [level and level.mean for level in levels] == [0, 100]
    assert comparison.size("keeping", "placed") == 2, "nobody was placed in item b"
    assert [comparison.total(label, "mixed") for label in comparison.labels] == [0, 0]


def test_measures_of_other_models_or_none(tmp_path: Path) -> None:
    with_measure = [entry("a", [GOOD, GOOD])]
    for number, picture in enumerate(with_measure[0]["pictures"]):
        picture["measures"] = {"ip_sim": 60.0 + number, "aesthetics": None}
    comparison = made(tmp_path, one=with_measure, other=[entry("a", [GOOD, GOOD])])
    level = comparison.level("one", "ip_sim")
    assert level
    assert level.mean == pytest.approx(60.5)
    assert comparison.level("other", "ip_sim") is None
    assert comparison.difference("one", "other", "ip_sim") is None
    assert "aesthetics" not in comparison.criteria
    assert comparison.criteria["ip_sim"].title == "IP-Sim"


def test_plain_numbers(two: Comparison) -> None:
    numbers = json.loads(json.dumps(to_mapping(two), allow_nan=False))
    level, gain = two.level("good", "id_conf"), two.difference("good", "bad", "id_conf")
    assert level
    assert gain
    said = numbers["models"]["good"]["judge"]["id_conf"]
    assert (said["mean"], said["difference"]["low"]) == (level.mean, gain.low)
    assert numbers["models"]["bad"]["judge"]["id_conf"]["difference"] is None
    assert numbers["models"]["good"]["reward"]["copy_paste"] is None
    assert numbers["models"]["good"]["groups"]["1"]["mixed"] is None
    assert len(numbers["left_out"]) == 5


def test_only_equal_terms_are_compared(tmp_path: Path) -> None:
    def one(name: str, items: list[Any] | None = None, **changes: Any) -> Any:
        return read_scored(write_scored(tmp_path / name, name, items or [good], **changes))

    good = entry("a", [GOOD])
    base = one("base")
    with pytest.raises(DiffersError, match="pack of base is open, of other xverse"):
        compare([base, one("other", pack="xverse")])
    with pytest.raises(DiffersError, match="look of base is , of other again"):
        compare([base, one("other", look="again")])
    version = {"name": "xversebench-multi", "version": "1" * 64, "items": 1, "pictures": 4}
    with pytest.raises(DiffersError, match="version of base"):
        compare([base, one("other", benchmark=version)])
    with pytest.raises(DiffersError, match="item 'a' asks for"):
        compare([base, one("other", [entry("a", [GOOD], identities=["anna", "carl"])])])
    with pytest.raises(DiffersError, match="no picture was scored for all of base, other"):
        compare([base, one("other", [entry("b", [GOOD])])])
    with pytest.raises(DiffersError, match="asks for a person"):
        compare([one("other", [entry("a", [[]])])])
    with pytest.raises(UsageError, match="one label: base, base"):
        compare([base, base])
    with pytest.raises(UsageError, match="no model"):
        compare([])


@pytest.mark.parametrize("wrong", [{"resamples": 0}, {"gallery": -1}])
def test_wrong_settings(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        ComparisonConfig(**wrong)


def test_any_number_of_models(tmp_path: Path) -> None:
    models = {f"m{n}": random_items(0.08 * n, seed=3) for n in range(9)}
    comparison = made(tmp_path, **models)
    assert len(comparison.labels) == 9
    means = [comparison.level(label, "id_sim") for label in comparison.labels]
    assert np.all(np.diff([level.mean for level in means if level]) > 0)
