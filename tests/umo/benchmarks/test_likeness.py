"""XVerseBench's twenty people: a face in each, the same to themselves, and who looks like whom."""

from itertools import combinations
from pathlib import Path

import pytest

from umo.benchmarks.faces import Gallery
from umo.benchmarks.likeness import ALIKE, Likenesses
from umo.benchmarks.xversebench import read_xversebench


@pytest.fixture(scope="module")
def twenty(published: Path, gallery: Gallery) -> Likenesses:
    benchmark = read_xversebench(published / "XVerseBench_single.json", published)
    people = [person for item in benchmark.items for person in item.people]
    assert len(people) == 20
    likenesses = Likenesses(benchmark, gallery, "once")
    for person in people:
        likenesses.of(person)
    return likenesses


def test_a_face_is_found_in_everyone(published: Path, gallery: Gallery, twenty: Likenesses) -> None:
    for file in (published / "human").iterdir():
        (seen,) = gallery.faces(file, 1, "once")
        assert len(seen.boxes) == 1, file.name


def test_everyone_is_like_themselves(published: Path, gallery: Gallery, twenty: Likenesses) -> None:
    for file in (published / "human").iterdir():
        (seen,) = gallery.faces(file, 1, "once")
        for rows in seen.embeddings.values():
            assert rows @ rows.T == pytest.approx(1, abs=1e-5)


def test_strangers_stay_apart_except_for_the_listed_pairs(
    published: Path, gallery: Gallery, twenty: Likenesses
) -> None:
    benchmark = read_xversebench(published / "XVerseBench_single.json", published)
    people = [person for item in benchmark.items for person in item.people]
    alike = twenty.alike(people)
    listed = {frozenset(pair["identities"]) for pair in alike}
    vectors = {p.identity: gallery.faces(p.file, 1, "once")[0].embeddings for p in people}
    for one, other in combinations(sorted(vectors), 2):
        cosine = float(vectors[one]["judge"][0] @ vectors[other]["judge"][0])
        assert (cosine >= ALIKE) == (frozenset((one, other)) in listed), (one, other, cosine)
    assert len(alike) < 60, "of 190 pairs"
    assert alike[0]["judge"] == pytest.approx(0.897, abs=0.01)
    by_both = [pair for pair in alike if pair["reward"] >= ALIKE]
    assert len(by_both) < 20, "two networks that agree on it"
