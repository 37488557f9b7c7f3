"""No sample twice or lost in an epoch, wherever it stops and however many share the work."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from umo.data.loader import Loader
from umo.data.schema import Sample
from umo.data.shards import write_dataset
from umo.errors import DiffersError, UsageError
from umo.files import read_manifest, write_manifest

COUNT = 230


def make(index: int) -> Sample:
    people = index % 3 + 1
    return Sample(
        key=f"{index}",
        prompt="people",
        target=np.full((4, 4 * people, 3), index % 256, np.uint8),
        references=(np.zeros((4, 4, 3), np.uint8),) * people,
        boxes=np.zeros((people, 4), np.float32),
        identities=tuple(f"{index}-{i}" for i in range(people)),
        split="tune",
        source="rendered",
        licence="CC0-1.0",
        consent="generated",
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loader") / "data"
    write_dataset(map(make, range(COUNT)), folder, {}, rows_per_shard=150)
    return folder


def keys(loader: Loader, batches: int) -> list[list[str]]:
    loaded = itertools.islice(loader, batches)
    return [[sample.key for sample in samples] for _, samples in loaded]


def test_an_epoch_has_every_sample_once_and_as_it_was_written(folder: Path) -> None:
    seen = []
    for epoch, samples in Loader(folder, batch=8, seed=1):
        if epoch == 2:
            break
        assert len({sample.target.shape for sample in samples}) == 1
        seen += [(epoch, sample.key) for sample in samples]
        for sample in samples:
            np.testing.assert_array_equal(sample.target, make(int(sample.key)).target)
    assert sorted(seen) == sorted((e, str(i)) for e in range(2) for i in range(COUNT))


def test_it_goes_on_exactly_where_it_stopped(folder: Path) -> None:
    """With another number of processes and threads; what was read ahead is not lost."""
    whole = keys(Loader(folder, batch=8, seed=1), 80)
    loader = Loader(folder, batch=8, seed=1, workers=3)
    before = keys(loader, 13)
    state = loader.state()
    assert state["done"] == 13
    shares = [
        keys(Loader(folder, batch=8, seed=1, rank=rank, ranks=3, workers=1, state=state), 67)
        for rank in range(3)
    ]
    after = [list(itertools.chain(*parts)) for parts in zip(*shares, strict=True)]
    assert before + after == whole


@pytest.mark.parametrize("changed", [{"batch": 4}, {"seed": 2}, {"drop_last": True}])
def test_a_place_of_another_order_is_refused(folder: Path, changed: dict[str, Any]) -> None:
    state = Loader(folder, batch=8, seed=1).state()
    (name,) = changed
    with pytest.raises(DiffersError, match=f"is of {name} {state[name]}, this is {changed[name]}"):
        Loader(folder, **{"batch": 8, "seed": 1, **changed}, state=state)


def test_version_1_is_refused_with_what_to_do(tmp_path: Path) -> None:
    write_dataset([make(0)], tmp_path / "data", {})
    shard = tmp_path / "data/shard-00000.parquet"
    pq.write_table(pq.read_table(shard).drop(["sizes"]), shard)
    facts = read_manifest(tmp_path / "data")
    del facts["schema"]
    write_manifest(tmp_path / "data", facts)
    with pytest.raises(UsageError, match=r"schema 1, .* `umo data merge"):
        Loader(tmp_path / "data", batch=1, seed=0)
