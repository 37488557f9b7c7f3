from pathlib import Path

import pytest

from services.candidates import PROMOTER, REVIEWER, approved
from umo.errors import DeniedError, UmoError
from umo.ledger import Ledger
from umo.promotion import promote, reject, rollback
from umo.registry import CHAMPION, Registry
from umo.store import Store
from umo_serving.deployer.wanted import wanted

NAME = "people"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(Store.local(tmp_path))


@pytest.fixture
def ledger(registry: Registry) -> Ledger:
    return Ledger(registry.store.ledger)


def test_without_a_champion_nothing_is_wanted(
    registry: Registry, ledger: Ledger, tmp_path: Path
) -> None:
    assert wanted(registry, ledger, NAME) is None
    approved(registry, ledger, NAME, 1, tmp_path)
    assert wanted(registry, ledger, NAME) is None


def test_the_champion_is_wanted_and_after_a_roll_back_the_one_before(
    registry: Registry, ledger: Ledger, tmp_path: Path
) -> None:
    one, two = (approved(registry, ledger, NAME, seed, tmp_path) for seed in (1, 2))
    first = promote(registry, ledger, NAME, one, actor=PROMOTER)
    found = wanted(registry, ledger, NAME)
    assert first
    assert found
    assert (found.version.digest, found.candidate) == (first.weights, one)
    assert found.decision == first.seq
    assert found.target.model == "umo_v1"

    second = promote(registry, ledger, NAME, two, actor=PROMOTER)
    found = wanted(registry, ledger, NAME)
    assert second
    assert found
    assert (found.version.digest, found.target.version) == (second.weights, "2")
    assert not found.returns

    back = rollback(registry, ledger, NAME, actor=PROMOTER, reason="worse")
    found = wanted(registry, ledger, NAME)
    assert back
    assert found
    assert (found.version.digest, found.target.version) == (first.weights, "1")
    assert found.decision == back.seq
    assert found.returns


def test_an_alias_that_nobody_decided_is_not_followed(
    registry: Registry, ledger: Ledger, tmp_path: Path
) -> None:
    one, two = (approved(registry, ledger, NAME, seed, tmp_path) for seed in (1, 2))
    promote(registry, ledger, NAME, one, actor=PROMOTER)
    promote(registry, ledger, NAME, two, actor=PROMOTER)
    registry.set_alias(NAME, CHAMPION, 1)
    with pytest.raises(UmoError, match=r"MLflow's is version 1; .*umo models reconcile") as caught:
        wanted(registry, ledger, NAME)
    assert caught.value.retryable


def test_a_revoked_champion_is_refused(registry: Registry, ledger: Ledger, tmp_path: Path) -> None:
    one = approved(registry, ledger, NAME, 1, tmp_path)
    promote(registry, ledger, NAME, one, actor=PROMOTER)
    reject(registry, ledger, NAME, one, actor=REVIEWER, reason="a mistake")
    with pytest.raises(DeniedError, match="candidate 1, is revoked"):
        wanted(registry, ledger, NAME)
