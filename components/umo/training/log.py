"""What a training run says of itself: means of its measures and the seconds of its parts."""

import json
import os
import platform
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from umo.errors import UmoError


class Meter:
    """Collects measures between two lines of metrics.

    Args:
        device: Where the work is done; a GPU is waited for, so that each part gets its own time.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._values: dict[str, list[float]] = defaultdict(list)
        self._seconds: dict[str, float] = defaultdict(float)
        self._samples = 0

    def add(self, **values: float) -> None:
        """Add a value to each named measure."""
        for name, value in values.items():
            self._values[name].append(value)

    def count(self, samples: int) -> None:
        """Add to the number of samples trained on."""
        self._samples += samples

    @contextmanager
    def clock(self, part: str) -> Iterator[None]:
        """Add the time of the block to `part`."""
        started = time.perf_counter()
        yield
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self._seconds[part] += time.perf_counter() - started

    def take(self) -> dict[str, float]:
        """Mean of each measure, `seconds_<part>`, `samples_per_second`; then start anew."""
        means = {name: sum(values) / len(values) for name, values in self._values.items()}
        seconds = {f"seconds_{part}": value for part, value in self._seconds.items()}
        speed = {"samples_per_second": self._samples / max(1e-9, sum(self._seconds.values()))}
        self._values.clear()
        self._seconds.clear()
        self._samples = 0
        return {**means, **seconds, **speed}


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
