"""Batches of samples from a dataset larger than memory: shuffled, shared out, and resumable.

Every process has its share of every batch, so that what is trained does not depend on how many
there are. Threads read ahead and decode; how many has no part in the order either.
"""

import itertools
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from umo.data.order import WINDOW, Indices, Order
from umo.data.schema import Sample
from umo.data.shards import Dataset
from umo.errors import DiffersError, UsageError


class Loader:
    """Endless batches of samples with pictures of the same sizes.

    Args:
        folder: The dataset, a folder or `s3://bucket/prefix`.
        batch: Most samples in a batch of all processes together.
        seed: Of the order.
        rank: Which process this is, from 0.
        ranks: How many processes share each batch; a small batch may leave some of them none.
        workers: Threads that decode.
        drop_last: Whether to drop the last incomplete batch of a kind in each epoch.
        state: Where to go on, from `state`; None is the beginning.

    Raises:
        DiffersError: The state is of another dataset or order.
        UsageError: The dataset is of version 1, which does not say the sizes of its pictures.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        batch: int,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
        workers: int = 2,
        drop_last: bool = False,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self.dataset = Dataset(folder, groups=2 * WINDOW)
        self.rank, self.ranks, self.workers = rank, ranks, workers
        self._order = Order(
            kinds(self.dataset),
            batch=batch,
            seed=seed,
            starts=self.dataset.starts,
            drop_last=drop_last,
        )
        self._done = 0
        if state is not None:
            self._done = int(state["done"])
            for name, mine in self.state().items():
                if state[name] != mine:
                    raise DiffersError(
                        f"the place in the data is of {name} {state[name]}, this is {mine}",
                        hint="go on with the same dataset, batch and seed",
                    )

    def state(self) -> dict[str, Any]:
        """The place after the batch that was given out last; plain JSON values."""
        return {
            "dataset": self.dataset.digest,
            "batch": self._order.batch,
            "seed": self._order.seed,
            "drop_last": self._order.drop_last,
            "done": self._done,
        }

    def __iter__(self) -> Iterator[tuple[int, list[Sample]]]:
        """Epoch, from 0, and this process's share of each batch.

        Raises:
            UmoError: A shard is damaged, or a picture cannot be read.
        """
        ahead: deque[tuple[int, list[Future[Sample]]]] = deque()
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                for batch in itertools.islice(self._order, self._done, None):
                    mine: Indices = np.array_split(batch.rows, self.ranks)[self.rank]
                    rows = [self.dataset.row(int(index)) for index in mine]
                    ahead.append(
                        (batch.epoch, [pool.submit(self.dataset.sample, row) for row in rows])
                    )
                    if len(ahead) > self.workers:
                        epoch, decoding = ahead.popleft()
                        samples = [one.result() for one in decoding]
                        self._done += 1
                        yield epoch, samples
            finally:
                pool.shutdown(cancel_futures=True)


def kinds(dataset: Dataset) -> Indices:
    """A number `[N]` for each sample: samples with pictures of the same sizes have the same.

    Raises:
        UsageError: The dataset is of version 1.
    """
    if dataset.version == 1:
        raise UsageError(
            f"{dataset.folder} has schema 1, which does not say the sizes of its pictures",
            hint=f"bring it to the newest with `umo data merge {dataset.folder} --out NEW`",
        )
    numbers: dict[tuple[int, ...], int] = {}
    sizes = (tuple(row) for row in dataset.column("sizes"))
    return np.array([numbers.setdefault(size, len(numbers)) for size in sizes], np.int64)
