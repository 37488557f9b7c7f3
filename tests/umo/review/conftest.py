"""Runs in small to review."""

from collections.abc import Callable
from pathlib import Path

import pytest

from services.small_run import SmallRun, write_run


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    """A run whose candidate passes every gate that is measured. Do not change it."""
    return write_run(tmp_path_factory.mktemp("small"))


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[..., SmallRun]:
    """Makes a run of one's own: `write_run` below `tmp_path`."""
    return lambda **changes: write_run(tmp_path / "run", **changes)
