"""What a training run says of itself: means of its measures and the seconds of its parts."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Meter:
    """Collects measures between two lines of metrics."""

    def __init__(self) -> None:
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
