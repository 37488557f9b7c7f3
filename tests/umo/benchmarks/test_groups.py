"""The two benchmarks that need no download: one to six people, rendered or photo-like."""

from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from umo.benchmarks.faces import Gallery
from umo.benchmarks.folder import read_benchmark
from umo.benchmarks.likeness import Likenesses
from umo.benchmarks.people import people_benchmark
from umo.benchmarks.rendered import GroupsConfig, rendered_benchmark
from umo.data.scenery import PLACES
from umo.errors import DiffersError, NotFoundError, UsageError
from umo.files import write_manifest


def test_rendered_groups_of_one_to_six(tmp_path: Path) -> None:
    benchmark = rendered_benchmark(tmp_path / "six", GroupsConfig(prompts=1))
    assert [item.group for item in benchmark.items] == ["1", "2", "3", "4", "5", "6"]
    assert [len(item.people) for item in benchmark.items] == [1, 2, 3, 4, 5, 6]
    assert "six people" in benchmark.items[5].prompt.lower()
    assert benchmark.items[5].arrangement == (0, 1, 2, 3, 4, 5)
    assert len({person.identity for item in benchmark.items for person in item.people}) == 21
    again = rendered_benchmark(tmp_path / "again", GroupsConfig(prompts=1, most_people=2))
    assert again.items[1].prompt == benchmark.items[1].prompt
    for one, other in zip(again.items[1].people, benchmark.items[1].people, strict=True):
        assert one.file.read_bytes() == other.file.read_bytes()


def test_it_is_made_once(tmp_path: Path) -> None:
    config = GroupsConfig(prompts=1, most_people=1)
    benchmark = rendered_benchmark(tmp_path / "made", config)
    (person,) = benchmark.items[0].people
    written = person.file.stat().st_mtime_ns
    assert rendered_benchmark(tmp_path / "made", config) == benchmark
    assert person.file.stat().st_mtime_ns == written
    person.file.write_bytes(b"")
    with pytest.raises(DiffersError, match="its manifest says"):
        read_benchmark(tmp_path / "made")
    assert rendered_benchmark(tmp_path / "made", config).version == benchmark.version


def test_photo_like_groups(tmp_path: Path, gallery: Gallery) -> None:
    pytest.importorskip("openpeople")
    benchmark = people_benchmark(tmp_path, GroupsConfig(prompts=2))
    assert Counter(item.group for item in benchmark.items) == dict.fromkeys("123456", 2)
    for item in benchmark.items:
        assert len({person.identity for person in item.people}) == len(item.people)
        assert any(item.prompt.endswith(place) for place in PLACES)
    first = benchmark.items[0].people[0]
    for file in (first.file, first.other):
        with Image.open(file) as picture:
            assert min(picture.size) > 1000
    likenesses = Likenesses(benchmark, gallery, "once")
    assert likenesses.same([first])[first.identity] > 0.4


def test_groups_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="prompts is 0"):
        GroupsConfig(prompts=0)
    with pytest.raises(UsageError, match="most_people is 7"):
        GroupsConfig(most_people=7)


def test_another_folder_is_no_benchmark(tmp_path: Path) -> None:
    write_manifest(tmp_path, {"kind": "lora"})
    with pytest.raises(UsageError, match="holds a 'lora'"):
        read_benchmark(tmp_path)
    with pytest.raises(NotFoundError):
        read_benchmark(tmp_path / "x")
