"""A warm server under load, and its own engine called in-process, taking turns.

Both paint with the same number of threads, and the turns of one run follow each other closely, so
that the noise of the machine falls on both: the ratios mean something, the seconds less. What a
picture costs in seconds of processors, of the server's processes and the client together, depends
least on what else the machine does.
"""

from __future__ import annotations

import itertools
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
TURNS = 3
PROMPT = "Two people side by side in a park"
PEOPLE = [file.read_bytes() for file in sorted(PICTURES.glob("*.png"))]


@dataclass
class Way:
    """A way to paint, and what it took over all its turns."""

    paint: Callable[[int], object]
    """Paints the picture of a seed."""
    processor: Callable[[], float]
    """Seconds that the processors worked for it until now."""
    worked: float = 0.0
    """Seconds of processors, of all turns together."""
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

    @property
    def work(self) -> float:
        """Seconds of processors for one picture."""
        return self.worked / len(self.each)

    def turn(self, callers: int, seeds: Iterator[int]) -> None:
        """Let callers share the calls of one turn."""

        def call(seed: int) -> float:
            start = time.perf_counter()
            self.paint(seed)
            return time.perf_counter() - start

        drawn = [next(seeds) for _ in range(CALLS)]
        with ThreadPoolExecutor(callers) as pool:
            worked, start = self.processor(), time.perf_counter()
            self.each += pool.map(call, drawn)
            self.seconds += time.perf_counter() - start
            self.worked += self.processor() - worked

    def __str__(self) -> str:
        return (
            f"{self.throughput:5.2f}/s  p50 {self.median:6.3f} s  p99 {self.p99:6.3f} s  "
            f"{self.work:.3f} s of processors a picture"
        )


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

    def inside(seed: int) -> object:
        return engine.generate(Request(prompt=PROMPT, references=PEOPLE, seed=seed))

    def everyone() -> float:
        """What the server's processes and this one have worked."""
        times = [process.cpu_times() for process in triton.processes().values()]
        return time.process_time() + sum(one.user + one.system for one in times)

    with Client(triton.http, timeout=900.0) as client, torch_threads(threads):

        def outside(seed: int) -> object:
            return client.generate(PROMPT, PEOPLE, seed=seed)

        for way in (Way(inside, everyone), Way(outside, everyone)):
            way.turn(4, seeds)  # warm
        for callers in CALLERS:
            pair = table[callers] = (Way(inside, time.process_time), Way(outside, everyone))
            for _ in range(TURNS):
                for way in pair:
                    way.turn(callers, seeds)
    engine.close()

    alone = table[1][0]
    with capsys.disabled():
        print(f"\n{TURNS} turns of {CALLS} calls each, {threads} threads of torch")
        for callers, (direct, served) in table.items():
            print(f"{callers:2d} callers  in-process {direct}")
            print(f"            server     {served}")
            print(
                f"            server / in-process: p50 {served.median / direct.median:.3f}, "
                f"throughput {served.throughput / direct.throughput:.3f} "
                f"(of one caller {served.throughput / alone.throughput:.3f}), "
                f"processors {served.work / direct.work:.3f}"
            )
