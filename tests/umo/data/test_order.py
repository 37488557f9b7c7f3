"""Every epoch visits each sample once, in batches of one kind, in an order that a seed fixes."""

import itertools
from typing import Any

import numpy as np
import pytest

from umo.data.order import WINDOW, Batch, Order

KINDS = np.random.default_rng(0).integers(0, 3, 1057)
STARTS = [*range(0, 1057, 100)]


def epochs(count: int, **options: Any) -> list[list[Batch]]:
    order = itertools.takewhile(lambda batch: batch.epoch < count, Order(KINDS, **options))
    return [list(batches) for _, batches in itertools.groupby(order, lambda batch: batch.epoch)]


@pytest.mark.parametrize("starts", [None, STARTS])
@pytest.mark.parametrize("batch", [1, 8, 5000])
def test_every_epoch_has_every_sample_once(starts: list[int] | None, batch: int) -> None:
    first, second = epochs(2, batch=batch, seed=3, starts=starts)
    for batches in (first, second):
        rows = np.concatenate([one.rows for one in batches])
        np.testing.assert_array_equal(np.sort(rows), np.arange(1057))
        assert all(len(np.unique(KINDS[one.rows])) == 1 for one in batches)
        assert max(len(one.rows) for one in batches) <= batch
        assert sum(len(one.rows) < batch for one in batches) <= 3
    assert [list(one.rows) for one in first] != [list(one.rows) for one in second]


def test_a_seed_fixes_the_order() -> None:
    one, two, other = (
        [list(batch.rows) for batch in epochs(1, batch=8, seed=seed, starts=STARTS)[0]]
        for seed in (1, 1, 2)
    )
    assert one == two != other


def test_a_block_is_read_while_it_is_near() -> None:
    (batches,) = epochs(1, batch=8, seed=0, starts=STARTS)
    near: list[int] = []
    reads = 0
    for row in np.concatenate([batch.rows for batch in batches]):
        block = int(row) // 100
        if block not in near:
            reads += 1
            near.append(block)
            del near[: -2 * WINDOW]
    assert reads == len(STARTS)


def test_incomplete_batches_are_dropped_only_where_there_are_others() -> None:
    kinds = np.array([0] * 10 + [1] * 3)
    order = Order(kinds, batch=4, seed=0, drop_last=True)
    batches = list(itertools.takewhile(lambda batch: batch.epoch == 0, order))
    assert sorted(len(batch.rows) for batch in batches) == [3, 4, 4]
