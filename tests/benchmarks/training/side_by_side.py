"""Ours beside the plain loop: same model, data, machine and mathematics; ratios of one run.

The two take turns, so that whatever else the machine does falls on both. Memory is what a step adds
to the process at its highest, measured in a process of its own for each.

    python tests/benchmarks/training/side_by_side.py docs/benchmarks/training.json 3
"""

import ctypes
import json
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))

from plain import plain_gradient

from umo.bases import load_base
from umo.bases.protocol import ReferenceModel
from umo.data.render import RenderConfig, render_samples
from umo.data.schema import Sample
from umo.data.shards import Dataset, write_dataset
from umo.faces.packs import FacePack, load_pack
from umo.files import write_text
from umo.training.cache import Group, encode_dataset
from umo.training.config import RereflConfig
from umo.training.memory import recompute_blocks
from umo.training.objective import Objective

CONFIG = RereflConfig(points=1, batch=8)
"""The defaults, with one rewarded picture for each sample, as the plain loop has."""


@dataclass(frozen=True)
class Bench:
    """What both train on."""

    base: ReferenceModel
    pack: FacePack
    samples: list[Sample]
    group: Group
    parameters: list[nn.Parameter]

    @classmethod
    def make(cls, folder: Path, samples: int = 8) -> "Bench":
        people = RenderConfig(split="tune", samples=samples, people={2: 1.0})
        write_dataset(render_samples(people), folder, {})
        base, pack = load_base(), load_pack()
        dataset = Dataset(folder)
        (group,) = encode_dataset(dataset, base, pack, "reference", lambda line: None).groups
        parameters = base.add_lora(CONFIG.rank, seed=0)
        return cls(base, pack, list(dataset), group, parameters)

    def ours(self, config: RereflConfig, seed: int) -> float:
        self._clear()
        objective = Objective(replace(config, seed=seed), self.base, self.pack)
        return objective.backward(self.group, torch.arange(config.batch)).loss

    def plain(self, config: RereflConfig, seed: int) -> float:
        self._clear()
        objective = Objective(replace(config, seed=seed), self.base, self.pack)
        draws = objective.draw(self.group, config.batch)
        return plain_gradient(config, self.base, self.pack, self.samples[: config.batch], draws)

    def recomputed(self, passes: int) -> float:
        """Ours in small passes that keep the inputs of blocks only, from now on."""
        recompute_blocks(self.base.transformer)
        recompute_blocks(self.base.decoder)
        return self.ours(replace(CONFIG, micro_batch=passes), 1)

    def gradient(self) -> torch.Tensor:
        return torch.cat([p.grad.flatten() for p in self.parameters if p.grad is not None])

    def _clear(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None


def clock(work: Callable[[], Any]) -> tuple[float, float]:
    """Wall and processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def peak_bytes(work: Callable[[], Any]) -> int:
    """How far memory rises in a process of its own while it works."""
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)

    def measure() -> None:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        work()
        send.send_bytes(str(_status("VmHWM") - before).encode())
        os._exit(0)

    process = context.Process(target=measure)
    process.start()
    peak = int(receive.recv_bytes())
    process.join()
    return peak


def memory(bench: Bench) -> dict[str, Any]:
    """What a step of each way adds at its highest, before any has run in this process."""
    ways: dict[str, Callable[[], Any]] = {
        "plain": lambda: bench.plain(CONFIG, 1),
        "ours": lambda: bench.ours(CONFIG, 1),
        "ours, passes of 2": lambda: bench.ours(replace(CONFIG, micro_batch=2), 1),
        "ours, passes of 2, recomputed": lambda: bench.recomputed(2),
        "ours, passes of 1, recomputed": lambda: bench.recomputed(1),
    }
    peaks = {name: peak_bytes(way) for name, way in ways.items()}
    return {
        "peak_memory_mb": {name: peak / 2**20 for name, peak in peaks.items()},
        "ratio_of_peak_memory": {name: peak / peaks["plain"] for name, peak in peaks.items()},
    }


def speed(bench: Bench, turns: int) -> dict[str, Any]:
    """Rewarded pictures a second of each way, and the ratio to the plain one."""
    ways: dict[str, tuple[Callable[[int], float], int]] = {
        "plain": (lambda seed: bench.plain(CONFIG, seed), 1),
        "ours": (lambda seed: bench.ours(CONFIG, seed), 1),
        "ours, passes of 2": (lambda seed: bench.ours(replace(CONFIG, micro_batch=2), seed), 1),
        "ours, 2 points": (lambda seed: bench.ours(replace(CONFIG, points=2), seed), 2),
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for turn in range(turns + 1):
        for name, (way, _) in ways.items():
            spent = clock(lambda way=way, turn=turn: way(turn))
            if turn:
                seconds[name].append(spent)
    pictures = {name: CONFIG.batch * points for name, (_, points) in ways.items()}
    found = {
        name: {
            "pictures_per_second": pictures[name] / statistics.median(wall for wall, _ in spent),
            "pictures_per_processor_second": pictures[name]
            / statistics.median(processor for _, processor in spent),
        }
        for name, spent in seconds.items()
    }
    return {
        "turns": turns,
        "speed": found,
        "ratio_of_speed": {
            name: {kind: rates[kind] / found["plain"][kind] for kind in rates}
            for name, rates in found.items()
        },
    }


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise KeyError(name)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench.make(Path(scratch) / "data")
    result = {
        "machine": f"{os.cpu_count()} cores {platform.machine()}, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads",
        "settings": asdict(CONFIG),
        "people": 2,
        **memory(bench),
        **speed(bench, turns=int(sys.argv[2])),
    }
    write_text(Path(sys.argv[1]), json.dumps(result, indent=1) + "\n")
    print(json.dumps({name: result[name] for name in result if name != "settings"}, indent=1))
