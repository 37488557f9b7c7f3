"""XVerseBench's item files: the published ones whole, and whatever can be wrong with one."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.small_benchmark import ENTRIES, Small, entry, human
from umo.benchmarks.item import Benchmark
from umo.benchmarks.xversebench import read_xversebench
from umo.errors import NotFoundError, UsageError


def test_multi_loads_whole(published: Path) -> None:
    benchmark = read_xversebench(published / "XVerseBench_multi.json", published)
    assert benchmark.name == "xversebench-multi"
    assert benchmark.failures == ()
    assert [item.key for item in benchmark.items] == [str(index) for index in range(210)]
    assert Counter(len(item.references) for item in benchmark.items) == {2: 120, 3: 90}
    assert Counter(item.group for item in benchmark.items) == {"0": 90, "1": 70, "2": 40, "3": 10}
    assert sum(len(item.people) for item in benchmark.items) == 180
    assert len({person.identity for item in benchmark.items for person in item.people}) == 20
    assert len({item.file for item in benchmark.items}) == 210


def test_pictures_that_are_not_there_are_named(published: Path) -> None:
    benchmark = read_xversebench(published / "XVerseBench_multi.json", published)
    assert len(benchmark.absent) == 111
    assert "object/00_motorcycle.jpg" in benchmark.absent
    assert not any(name.startswith("human/") for name in benchmark.absent)


def test_single_loads_whole(published: Path) -> None:
    benchmark = read_xversebench(published / "XVerseBench_single.json", published)
    assert (benchmark.name, len(benchmark.items)) == ("xversebench-single", 90)
    assert Counter(item.group for item in benchmark.items) == {"0": 70, "1": 20}
    assert benchmark.items[2].prompt.endswith("\n")
    assert benchmark.items[2].file == "2_a_raccoon_standing_in_a_forest_.png"


def test_file_names_stay_in_their_folder(small: Small) -> None:
    names = [item.file for item in small.read().items]
    assert names[0] == "0_A_man_and_a_boy._.png"
    assert names[1] == "1_Three_people_in_a_bar_and_or_in_a_very,_.png"


def errors(benchmark: Benchmark) -> dict[str, str]:
    return {failure.key: failure.error for failure in benchmark.failures}


def test_an_unknown_version_is_one_failure(small: Small) -> None:
    (failure,) = small.read().failures
    assert (failure.key, failure.name) == ("", "items.json")
    assert "no published version" in failure.error


def test_wrong_items_are_named(rewrite: Callable[[list[Any]], Small]) -> None:
    wrong = [
        *ENTRIES[:2],
        entry(1, "Again", *human(1)),
        {"index": 4, "prompt": "No references"},
        "no item",
    ]
    benchmark = rewrite(wrong).read()
    assert [item.key for item in benchmark.items] == ["0", "1"]
    found = errors(benchmark)
    assert found["1"] == "the item is there twice"
    assert found["4"] == "the item cannot be read: KeyError: 'modulation'"
    assert found["#4"].startswith("the item cannot be read")
    assert [key for key, error in found.items() if error == "the item is missing"] == ["2", "3"]


@pytest.mark.parametrize("text", ["{", "{}", "[]"])
def test_no_list_of_items(own: Small, text: str) -> None:
    own.items.write_text(text)
    with pytest.raises(UsageError, match=r"items\.json"):
        own.read()


def test_missing_file_or_folder(own: Small) -> None:
    with pytest.raises(NotFoundError, match="no item file"):
        read_xversebench(own.items / "x", own.references)
    with pytest.raises(NotFoundError, match="no folder of references"):
        read_xversebench(own.items, own.references / "x")
