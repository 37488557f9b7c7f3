"""The order in which samples are visited: a pure function of a seed, the same everywhere.

Every epoch visits each sample once, in batches of one kind (say, one number of people and one size
of pictures). The place in it is one number, how many batches are done, so that whoever stops at a
batch goes on at the next one, with any number of processes or threads.

Samples that lie on disk in blocks are visited some blocks at a time: the blocks are shuffled, and
the samples of a window of blocks with one another, so that a block is read once in an epoch.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Indices = NDArray[np.int64]

WINDOW = 8
"""Blocks whose samples are shuffled together."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Samples of one kind."""

    epoch: int
    """From 0."""
    rows: Indices
    """Indices `[B]` of the samples."""


class Order:
    """Endless batches.

    Args:
        kinds: The kind `[N]` of each sample.
        batch: Most samples in a batch.
        seed: Of the shuffling.
        starts: Where the blocks of the samples begin, from 0 and ascending; None is one block.
        drop_last: Whether to drop the last incomplete batch of a kind, unless that has no other;
            else every epoch has every sample.
    """

    def __init__(
        self,
        kinds: Indices,
        *,
        batch: int,
        seed: int,
        starts: list[int] | None = None,
        drop_last: bool = False,
    ) -> None:
        self.kinds = kinds
        self.batch = batch
        self.seed = seed
        self.drop_last = drop_last
        bounds = [*(starts or [0]), len(kinds)]
        self._blocks = [np.arange(a, b) for a, b in itertools.pairwise(bounds)]
        self._kinds = [int(kind) for kind in np.unique(kinds)]

    def __iter__(self) -> Iterator[Batch]:
        generator = np.random.default_rng(self.seed)
        for epoch in itertools.count():
            for rows in self._epoch(generator):
                yield Batch(epoch=epoch, rows=rows)

    def _epoch(self, generator: Generator) -> Iterator[Indices]:
        waiting = {kind: np.zeros(0, np.int64) for kind in self._kinds}
        begun: set[int] = set()
        windows = list(self._windows(generator))
        for number, window in enumerate(windows, start=1):
            ready: list[Indices] = []
            for kind in self._kinds:
                mine = window[self.kinds[window] == kind]
                mine = np.concatenate((waiting[kind], mine[generator.permutation(len(mine))]))
                whole = len(mine) - len(mine) % self.batch
                ready += [mine[i : i + self.batch] for i in range(0, whole, self.batch)]
                waiting[kind] = mine[whole:]
                if whole:
                    begun.add(kind)
                last = number == len(windows) and len(waiting[kind]) > 0
                if last and not (self.drop_last and kind in begun):
                    ready.append(waiting[kind])
            yield from (ready[index] for index in generator.permutation(len(ready)))

    def _windows(self, generator: Generator) -> Iterator[Indices]:
        if len(self._blocks) == 1:
            yield self._blocks[0]
            return
        order = generator.permutation(len(self._blocks))
        for first in range(0, len(order), WINDOW):
            yield np.concatenate([self._blocks[block] for block in order[first : first + WINDOW]])
