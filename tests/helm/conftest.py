"""Rendered manifests of every supported set-up."""

from collections.abc import Callable

import pytest

from services.helm_chart import SETUPS, Manifest, helm, rendered


@pytest.fixture(params=SETUPS)
def setup(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[3, 4])
def program(request: pytest.FixtureRequest) -> str:
    return helm(request.param)


@pytest.fixture
def render() -> Callable[[str], list[Manifest]]:
    """Manifests of a set-up, as the newest helm renders them."""
    return rendered


@pytest.fixture
def manifests(setup: str) -> list[Manifest]:
    return rendered(setup)
