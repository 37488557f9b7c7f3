"""Many promoters at once: one champion at each moment, and every promotion in the ledger."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from services.candidates import approved
from services.promoters import open_store, promote_all, promote_over, start
from umo.registry import CHAMPION, PREVIOUS

PROMOTERS = 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "candidates"), [("run folder", 100), ("servers", 32)], indirect=["environment"]
)
def test_many_promotions(environment: Mapping[str, str], candidates: int, tmp_path: Path) -> None:
    registry, ledger = open_store(environment)
    name = "together"
    numbers = [approved(registry, ledger, name, seed, tmp_path) for seed in range(candidates)]

    promoters = [
        start(promote_all, environment, name, numbers[share::PROMOTERS])
        for share in range(PROMOTERS)
    ]
    seen: list[int] = []
    while any(promoter.is_alive() for promoter in promoters):
        now = registry.aliases(name).get(CHAMPION)
        assert now is not None or not seen
        if now is not None and [now] != seen[-1:]:
            seen.append(now)
    assert [promoter.exitcode for promoter in promoters] == [0] * PROMOTERS

    promoted = ledger.events(name, kind="promoted")
    assert sorted(event.version for event in promoted) == numbers
    weights = [event.weights for event in promoted]
    assert [event.previous for event in promoted] == ["", *weights[:-1]]
    copies = [event.details["copy"] for event in promoted]
    places = [copies.index(number) for number in seen]
    assert places == sorted(places)
    assert len(set(places)) == len(places) > 1

    kinds = [event.kind for event in ledger.events(name)]
    assert kinds.count("intended") == candidates
    assert not {"abandoned", "refused"} & set(kinds)
    assert ledger.verify() == []
    assert registry.aliases(name) == {CHAMPION: copies[-1], PREVIOUS: copies[-2]}
    digests = {version.version: version.digest for version in registry.versions(name)}
    assert [digests[number] for number in copies] == weights


def test_only_one_replaces_the_champion_that_all_expect(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    registry, ledger = open_store(environment)
    numbers = [approved(registry, ledger, "expected", seed, tmp_path) for seed in range(4)]
    promoters = [start(promote_over, environment, "expected", number, 0) for number in numbers]
    for promoter in promoters:
        promoter.join()

    assert sorted(promoter.exitcode for promoter in promoters) == [0, 5, 5, 5]
    (winner,) = ledger.events("expected", kind="promoted")
    refused = ledger.events("expected", kind="refused")
    assert {event.version for event in (winner, *refused)} == set(numbers)
    assert all(
        f"the champion of expected is {winner.version}, you expected nobody" in event.reason
        for event in refused
    )
