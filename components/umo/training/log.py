"""What a training run says of itself: means of its measures and the seconds of its parts."""

import json
import os
import platform
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from umo.errors import UmoError
from umo.rewards.matching import MatchingResult
from umo.training.parallel import World


class Meter:
    """Collects measures between two lines of metrics.

    Args:
        device: Where the work is done; a GPU is waited for, so that each part gets its own time.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._totals: dict[str, float] = defaultdict(float)
        self._weights: dict[str, float] = defaultdict(float)
        self._seconds: dict[str, float] = defaultdict(float)
        self._samples = 0.0
        self._operations = 0.0

    def add(self, weight: float = 1.0, **values: float) -> None:
        """Add a value to each named measure, which has this weight in its mean."""
        for name, value in values.items():
            self._totals[name] += weight * value
            self._weights[name] += weight

    def record(
        self, results: Sequence[MatchingResult], judged: Sequence[MatchingResult], share: float
    ) -> None:
        """Add what was rewarded, also by number of people, and what the judge says of it."""
        for result in results:
            reward = result.reward.item()
            self.add(
                share / len(results),
                reward=reward,
                matched=result.matched,
                mismatched=result.mismatched,
                missing=result.missing,
                faces=result.similarity.shape[1],
                **{f"reward_people_{result.similarity.shape[0]}": reward},
            )
        for result in judged:
            self.add(share / len(judged), judge=result.reward.item())

    def count(self, samples: int, operations: float = 0.0) -> None:
        """Add to the number of samples trained on, and to the operations that took."""
        self._samples += samples
        self._operations += operations

    @contextmanager
    def clock(self, part: str) -> Iterator[None]:
        """Add the time of the block to `part`."""
        started = time.perf_counter()
        yield
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self._seconds[part] += time.perf_counter() - started

    def take(self, world: World) -> dict[str, float]:
        """Mean of each measure, `seconds_<part>`, `samples_per_second`; then start anew.

        `operations_per_second` is there if operations were counted. Measures, samples and
        operations are those of all processes, seconds the mean of theirs.
        """
        names, parts = sorted(self._totals), sorted(self._seconds)
        totals, weights, seconds = (
            world.add([kept[name] for name in there])
            for kept, there in (
                (self._totals, names),
                (self._weights, names),
                (self._seconds, parts),
            )
        )
        samples, operations = world.add([self._samples, self._operations])
        spent = [each / world.size for each in seconds]
        for kept in (self._totals, self._weights, self._seconds):
            kept.clear()
        self._samples = self._operations = 0.0
        passed = max(1e-9, sum(spent))
        means = zip(names, totals, weights, strict=True)
        return {
            **{name: total / weight for name, total, weight in means if weight},
            **{f"seconds_{part}": value for part, value in zip(parts, spent, strict=True)},
            "samples_per_second": samples / passed,
            **({"operations_per_second": operations / passed} if operations else {}),
        }

    def state(self, world: World) -> dict[str, Any]:
        """What all processes collected since the last line, as plain JSON values."""
        kept = {"totals": self._totals, "weights": self._weights, "seconds": self._seconds}
        added = {
            key: dict(
                zip(sorted(values), world.add([values[n] for n in sorted(values)]), strict=True)
            )
            for key, values in kept.items()
        }
        samples, operations = world.add([self._samples, self._operations])
        return {**added, "samples": samples, "operations": operations}

    def restore(self, state: Mapping[str, Any], world: World) -> None:
        """Go on from an earlier `state`: the first process with its values, all with its names."""
        share = 1.0 if world.first else 0.0
        self._totals, self._weights, self._seconds = (
            defaultdict(float, {name: share * value for name, value in state[key].items()})
            for key in ("totals", "weights", "seconds")
        )
        self._samples = share * state["samples"]
        self._operations = share * state["operations"]


def machine(device: torch.device) -> dict[str, str | int]:
    """Where a run computes: system, device, cores, threads and the versions that matter."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "system": platform.platform(),
        "device": f"{device.type} {name}",
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def peak_memory(device: torch.device) -> int:
    """Most bytes that this process has held so far: on a GPU there, else in main memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def append_line(path: Path, line: Mapping[str, Any]) -> None:
    """Append a line of JSON to a file.

    Raises:
        UmoError: It could not be written.
    """
    try:
        with path.open("a") as stream:
            stream.write(json.dumps(line) + "\n")
    except OSError as error:
        raise UmoError(
            f"cannot write {path}: {error.strerror}", hint="free space there", retryable=True
        ) from error
