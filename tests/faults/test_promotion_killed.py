"""A promoter is killed at every step; whoever comes next finishes its work or undoes it."""

import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from services.candidates import PROMOTER, approved
from services.promoters import (
    CLOSE,
    PROMOTION_POINTS,
    ROLLBACK_POINTS,
    VERSION,
    killed_promotion,
    killed_rollback,
    open_store,
    start,
)
from umo.ledger import Ledger
from umo.promotion import promote, reconcile, rollback, verify
from umo.registry import CHAMPION, PREVIOUS, Registry

FOLDER, SERVERS = "run folder", "servers"
PROMOTIONS = [
    *((FOLDER, point) for point in PROMOTION_POINTS),
    *((SERVERS, point) for point in (VERSION, "crown", "end_challenge", CLOSE)),
]
ROLLBACKS = [*((FOLDER, point) for point in ROLLBACK_POINTS), (SERVERS, "crown")]
CROWNED = ("end_challenge", CLOSE)
"""Points where the alias champion has moved: what was begun is finished."""


def kill(work: object, *arguments: object) -> None:
    process = start(work, *arguments)
    process.join()
    assert process.exitcode == -signal.SIGKILL


def changes(ledger: Ledger, name: str) -> list[str]:
    kinds = ("intended", "abandoned", "promoted", "rolled_back")
    return [event.kind for event in ledger.events(name) if event.kind in kinds]


def crowned(registry: Registry, name: str) -> dict[str, str]:
    """Weights by alias."""
    digests = {version.version: version.digest for version in registry.versions(name)}
    return {alias: digests[number] for alias, number in registry.aliases(name).items()}


@pytest.mark.slow
@pytest.mark.parametrize(("environment", "point"), PROMOTIONS, indirect=["environment"])
def test_killed_promotion(environment: Mapping[str, str], point: str, tmp_path: Path) -> None:
    registry, ledger = open_store(environment)
    name = f"killed-{point}".replace("_", "-")
    first, second = (approved(registry, ledger, name, seed, tmp_path) for seed in (1, 2))

    kill(killed_promotion, environment, name, first, point)
    left = ledger.reign(name)
    assert (left.champion, left.pending.version) == (None, first)
    assert ledger.verify() == []

    begun = ["intended", "promoted"]
    again = promote(registry, ledger, name, first, actor=PROMOTER)
    assert changes(ledger, name) == (
        begun if point in CROWNED else ["intended", "abandoned", *begun]
    )
    assert (again.version, ledger.champion(name)) == (first, again)
    assert crowned(registry, name) == {CHAMPION: again.weights}

    kill(killed_promotion, environment, name, second, point)
    before = registry.aliases(name)
    reported = reconcile(registry, ledger, name, actor=PROMOTER, dry_run=True)
    assert reported[0].what == "change of champion"
    assert not any(drift.repaired for drift in reported)
    assert registry.aliases(name) == before

    repaired = reconcile(registry, ledger, name, actor=PROMOTER)
    assert all(drift.repaired for drift in repaired)
    assert reconcile(registry, ledger, name, actor=PROMOTER) == []
    assert ledger.champion(name).version == (second if point in CROWNED else first)

    last = promote(registry, ledger, name, second, actor=PROMOTER)
    assert crowned(registry, name) == {CHAMPION: last.weights, PREVIOUS: again.weights}
    assert [version.digest for version in registry.versions(name)] == [again.weights, last.weights]
    assert ledger.reign(name).pending is None
    assert verify(registry, ledger, name) == []


@pytest.mark.slow
@pytest.mark.parametrize(("environment", "point"), ROLLBACKS, indirect=["environment"])
def test_killed_rollback(environment: Mapping[str, str], point: str, tmp_path: Path) -> None:
    registry, ledger = open_store(environment)
    name = f"back-{point}".replace("_", "-")
    numbers = [approved(registry, ledger, name, seed, tmp_path) for seed in (1, 2)]
    first, second = (promote(registry, ledger, name, n, actor=PROMOTER) for n in numbers)

    kill(killed_rollback, environment, name, point)
    assert ledger.reign(name).champion == second
    reconcile(registry, ledger, name, actor=PROMOTER)
    if point == CLOSE:
        assert changes(ledger, name)[-2:] == ["intended", "rolled_back"]
    else:
        assert crowned(registry, name) == {CHAMPION: second.weights, PREVIOUS: first.weights}
        rollback(registry, ledger, name, actor=PROMOTER, reason="worse on Mondays")
    assert crowned(registry, name) == {CHAMPION: first.weights}
    assert ledger.champion(name).weights == first.weights
    assert verify(registry, ledger, name) == []
