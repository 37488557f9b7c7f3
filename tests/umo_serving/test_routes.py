from collections import Counter
from pathlib import Path

import pytest

from umo.errors import DiffersError, UmoError, UsageError
from umo_serving.routes import FILE, Routes, Target, Watched, read, write

OLD, NEW = Target(version="1", digest="a"), Target(version="2", digest="b")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    for routes, loaded in (
        (Routes(champion=OLD), [OLD]),
        (Routes(champion=OLD, challenger=NEW, share=0.05), [OLD, NEW]),
        (Routes(champion=NEW, previous=OLD), [NEW, OLD]),
    ):
        write(tmp_path, routes)
        assert read(tmp_path) == routes
        assert routes.targets() == loaded
    assert NEW.model == "umo_v2"


@pytest.mark.parametrize(("share", "low", "high"), [(0.05, 350, 650), (0.5, 4700, 5300)])
def test_the_challenger_gets_its_share(share: float, low: int, high: int) -> None:
    routes = Routes(champion=OLD, challenger=NEW, share=share)
    chosen = Counter(routes.choose(f"request {number}").version for number in range(10_000))
    assert low < chosen["2"] < high
    assert chosen["1"] + chosen["2"] == 10_000


def test_the_ends_of_a_share() -> None:
    names = [str(number) for number in range(100)]
    assert {Routes(champion=OLD, challenger=NEW).choose(name) for name in names} == {OLD}
    all_new = Routes(champion=OLD, challenger=NEW, share=1.0)
    assert {all_new.choose(name) for name in names} == {NEW}


def test_a_repeated_call_has_the_same_answer_and_a_larger_share_takes_nobody_back() -> None:
    few, many = (Routes(champion=OLD, challenger=NEW, share=share) for share in (0.05, 0.5))
    for number in range(1000):
        if few.choose(str(number)) == NEW:
            assert few.choose(str(number)) == many.choose(str(number)) == NEW


@pytest.mark.parametrize("values", [{"share": 0.1}, {"challenger": NEW, "share": 1.5}])
def test_a_share_that_is_none_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="share"):
        Routes(champion=OLD, **values)


def test_nothing_routed_may_change(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    with pytest.raises(UmoError, match="no version of the model is served yet") as caught:
        watched.current()
    assert caught.value.retryable
    write(tmp_path, Routes(champion=OLD))
    assert watched.current().champion == OLD
    write(tmp_path, Routes(champion=NEW))
    assert watched.current().champion == NEW


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(DiffersError, match="holds no routes"):
        read(tmp_path)
