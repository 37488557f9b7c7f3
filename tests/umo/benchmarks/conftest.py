"""A small benchmark and a gallery for all tests of this folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.small_benchmark import Small, write_small
from umo.benchmarks.faces import Gallery
from umo.faces.packs import FacePack, load_pack

PUBLISHED = Path(__file__).parents[4] / "shared/xversebench"


@pytest.fixture(scope="session")
def published() -> Path:
    """The folder of XVerseBench's own item files and people."""
    if not PUBLISHED.is_dir():
        pytest.skip("XVerseBench's files are not beside the tree")
    return PUBLISHED


@pytest.fixture(scope="session")
def pack() -> FacePack:
    return load_pack("open")


@pytest.fixture(scope="session")
def gallery(pack: FacePack, tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    """What any test has seen, for all of them."""
    return Gallery(tmp_path_factory.mktemp("faces"), pack)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """Not to be changed."""
    return write_small(tmp_path_factory.mktemp("small"))


@pytest.fixture
def own(tmp_path: Path) -> Small:
    """A copy that a test may change."""
    return write_small(tmp_path / "own")


@pytest.fixture
def rewrite(own: Small) -> Callable[[list[Any]], Small]:
    def write(entries: list[Any]) -> Small:
        own.items.write_text(json.dumps(entries))
        return own

    return write
