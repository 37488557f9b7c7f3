"""A run folder as the place where models are promoted."""

import pytest

from umo.ledger import Ledger
from umo.registry import Registry
from umo.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.local(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def registry(store: Store) -> Registry:
    return Registry(store)


@pytest.fixture(scope="module")
def ledger(store: Store) -> Ledger:
    return Ledger(store.ledger)
