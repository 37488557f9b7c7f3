"""A warm server under load, and its own engine called in-process, taking turns.

Both paint with the same number of threads, and the turns of one run follow each other closely, so
that the noise of the machine falls on both: the ratios mean something, the seconds less.
"""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import torch

from services.triton import REFERENCE
from umo_serving import environment
from umo_serving.client import Client
from umo_serving.engine import Engine
from umo_serving.probe import PICTURES
from umo_serving.request import Request

if TYPE_CHECKING:
    from services.triton import Triton

CALLERS = (1, 4, 16)
CALLS = 16
"""Calls of one turn."""
TURNS = int(os.environ.get("UMO_BENCHMARK_TURNS", "4"))
PROMPT = "Two people side by side in a park"
PEOPLE = [file.read_bytes() for file in sorted(PICTURES.glob("*.png"))]

Paint = Callable[[int], object]


@dataclass
class Measured:
    """What a way to paint took, over all its turns."""

    seconds: float = 0.0
    """Of all turns together."""
    each: list[float] = field(default_factory=list)
    """Seconds of every call."""

    @property
    def throughput(self) -> float:
        """Pictures a second."""
        return len(self.each) / self.seconds

    @property
    def median(self) -> float:
        return statistics.median(self.each)

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.each, n=100, method="inclusive")[98]

    def turn(self, paint: Paint, callers: int, seeds: Iterator[int]) -> None:
        """Let callers share the calls of one turn."""

        def call(seed: int) -> float:
            start = time.perf_counter()
            paint(seed)
            return time.perf_counter() - start

        drawn = [next(seeds) for _ in range(CALLS)]
        with ThreadPoolExecutor(callers) as pool:
            start = time.perf_counter()
            self.each += pool.map(call, drawn)
            self.seconds += time.perf_counter() - start

    def __str__(self) -> str:
        return f"{self.throughput:5.2f}/s  p50 {self.median:6.3f} s  p99 {self.p99:6.3f} s"


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_load(triton: Triton, capsys: pytest.CaptureFixture[str]) -> None:
    threads = int(environment.find().variables()["OMP_NUM_THREADS"])
    engine = Engine.load(REFERENCE)
    seeds = itertools.count()
    table = {}

    def direct(seed: int) -> object:
        return engine.generate(Request(prompt=PROMPT, references=PEOPLE, seed=seed))

    with Client(triton.http, timeout=900.0) as client, torch_threads(threads):

        def served(seed: int) -> object:
            return client.generate(PROMPT, PEOPLE, seed=seed)

        for warm in (direct, served):
            Measured().turn(warm, 4, seeds)
        for callers in CALLERS:
            pair = table[callers] = (Measured(), Measured())
            for _ in range(TURNS):
                for measured, paint in zip(pair, (direct, served), strict=True):
                    measured.turn(paint, callers, seeds)
    engine.close()

    alone = table[1][0]
    with capsys.disabled():
        print(f"\n{TURNS} turns of {CALLS} calls each, {threads} threads of torch")
        for callers, (inside, outside) in table.items():
            print(f"{callers:2d} callers  in-process {inside}")
            print(f"            server     {outside}")
            print(
                f"            p50 {outside.median / inside.median:.3f}, throughput "
                f"{outside.throughput / inside.throughput:.3f} of as many callers in-process, "
                f"{outside.throughput / alone.throughput:.3f} of one"
            )
