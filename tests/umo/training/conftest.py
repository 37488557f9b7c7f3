"""A reference model, a face pack and a dataset so small that training takes seconds."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from services.tiny_training import TinyModel, make_sample, tiny_pack
from umo.data.schema import Sample
from umo.data.shards import Dataset, write_dataset
from umo.faces.packs import FacePack


@pytest.fixture
def model() -> TinyModel:
    return TinyModel()


@pytest.fixture
def pack() -> FacePack:
    return tiny_pack()


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[[Sequence[Sample]], Dataset]:
    def make(samples: Sequence[Sample]) -> Dataset:
        write_dataset(samples, tmp_path / "data", {})
        return Dataset(tmp_path / "data")

    return make


@pytest.fixture
def samples() -> list[Sample]:
    """Four samples of two people and, between them, three of one person."""
    return [make_sample(index, 2 - index % 2) for index in range(7)]


@pytest.fixture
def dataset(
    make_dataset: Callable[[Sequence[Sample]], Dataset], samples: Sequence[Sample]
) -> Dataset:
    return make_dataset(samples)
