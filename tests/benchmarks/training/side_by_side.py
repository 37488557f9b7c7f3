"""Ours beside the plain loop: same model, data, machine and mathematics; ratios of one run.

Each way is measured with the default's short roll-outs and with UNO's (25 steps, window 1..10);
the ways take turns, so that whatever else the machine does falls on all of them. Memory is what a
step adds to a process of its own at its highest; a first one, which loads code and weights, came
before. `resident` is what the system counts, with freed memory given back at once; `tensors` is
what torch's profiler counts, as `torch.cuda.max_memory_allocated` does on a GPU.

    python tests/benchmarks/training/side_by_side.py docs/benchmarks/training.json 3
"""

import itertools
import json
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

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
SETTINGS = {"default": CONFIG, "UNO": replace(CONFIG, rollout_steps=25, window=(1, 10))}
"""Roll-outs by name."""
SPEED = {
    "ours": {"points": 1},
    "ours, one picture a pass": {"points": 1, "micro_batch": 1},
    "ours, 2 points": {"points": 2},
    "ours, 4 points": {"points": 4},
    "ours, 4 points, one picture a pass": {"points": 4, "micro_batch": 1},
}
MEMORY = {
    "ours": {},
    "ours, one picture a pass": {"micro_batch": 1},
    "ours, 4 points, one picture a pass": {"points": 4, "micro_batch": 1},
    "ours, 4 points, one picture a pass, recomputed": {
        "points": 4,
        "micro_batch": 1,
        "recompute": True,
    },
}
"""How ours differs from `CONFIG`, by name."""
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""What makes glibc give freed memory back at once."""


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
        self.clear()
        objective = Objective(replace(config, seed=seed), self.base, self.pack)
        return objective.backward(self.group, torch.arange(config.batch)).loss

    def plain(self, config: RereflConfig, seed: int) -> float:
        self.clear()
        objective = Objective(replace(config, seed=seed), self.base, self.pack)
        draws = objective.draw(self.group, config.batch)
        return plain_gradient(config, self.base, self.pack, self.samples[: config.batch], draws)

    def gradient(self) -> torch.Tensor:
        return torch.cat([p.grad.flatten() for p in self.parameters if p.grad is not None])

    def clear(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None


def clock(work: Callable[[], Any]) -> tuple[float, float]:
    """Wall and processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def peak_bytes(name: str) -> dict[str, int]:
    """How far memory rises in a process of its own during a second step of a way of `MEMORY`."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone,
        patch.dict(os.environ, GIVE_BACK),
    ):
        return alone.submit(_second_step, name, Path(scratch) / "data").result()


def memory() -> dict[str, Any]:
    """What a step of each way adds at its highest."""
    peaks = {name: peak_bytes(name) for name in ("plain", *MEMORY)}
    return {
        "peak_memory_mb": {
            name: {kind: count / 2**20 for kind, count in peak.items()}
            for name, peak in peaks.items()
        },
        "ratio_of_peak_memory": {
            name: {kind: count / peaks["plain"][kind] for kind, count in peak.items()}
            for name, peak in peaks.items()
        },
    }


def speed(bench: Bench, config: RereflConfig, turns: int) -> dict[str, Any]:
    """Rewarded pictures a second of each way, and the ratio to the plain one."""
    ways = {"plain": (bench.plain, config)} | {
        name: (bench.ours, replace(config, **changes)) for name, changes in SPEED.items()
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for turn in range(turns + 1):
        for name, (way, setting) in ways.items():
            spent = clock(lambda way=way, setting=setting, turn=turn: way(setting, turn))
            if turn:
                seconds[name].append(spent)
    found = {}
    for name, spent in seconds.items():
        pictures = config.batch * ways[name][1].points
        wall, processor = (statistics.median(kind) for kind in zip(*spent, strict=True))
        found[name] = {
            "pictures_per_second": pictures / wall,
            "pictures_per_processor_second": pictures / processor,
        }
    return {
        "speed": found,
        "ratio_of_speed": {
            name: {kind: rates[kind] / found["plain"][kind] for kind in rates}
            for name, rates in found.items()
        },
    }


def _second_step(name: str, folder: Path) -> dict[str, int]:
    bench = Bench.make(folder)
    config = replace(CONFIG, **MEMORY.get(name, {}))
    if config.recompute:
        recompute_blocks(bench.base.transformer)
        recompute_blocks(bench.base.decoder)
    way = bench.plain if name == "plain" else bench.ours
    way(config, 1)
    bench.clear()
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    way(config, 1)
    resident = _status("VmHWM") - before
    bench.clear()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        way(config, 1)
    assert watched.profiler
    changes = (
        event.nbytes()
        for event in watched.profiler.kineto_results.events()
        if event.name() == "[memory]"
    )
    return {"resident": resident, "tensors": max(itertools.accumulate(changes))}


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise KeyError(name)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench.make(Path(scratch) / "data")
    turns = int(sys.argv[2])
    result = {
        "machine": f"{os.cpu_count()} cores {platform.machine()}, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads",
        "people": 2,
        "turns": turns,
        **memory(),
        "roll-outs": {
            name: {"settings": asdict(config), **speed(bench, config, turns)}
            for name, config in SETTINGS.items()
        },
    }
    write_text(Path(sys.argv[1]), json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
