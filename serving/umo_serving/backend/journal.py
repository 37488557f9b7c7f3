"""Metrics for Prometheus and a log line for each call; pictures and prompts are in neither."""

import json
import sys
import time
from typing import Any

import triton_python_backend_utils as triton

SECONDS = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 180.0]
COSINES = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


class Metrics:
    """The metrics of one endpoint; Triton serves them on its metrics port.

    Args:
        endpoint: Name of the Triton model that callers ask.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        family = triton.MetricFamily
        self._calls = family(
            name="umo_calls_total",
            description="Calls by outcome: ok, or the kind of failure",
            kind=family.COUNTER,
        )
        self._queue = family(
            name="umo_queue",
            description="Calls that wait or are being painted",
            kind=family.GAUGE,
        )
        self._seconds = family(
            name="umo_generation_seconds",
            description="Seconds from a call to its pictures",
            kind=family.HISTOGRAM,
        )
        self._scores = family(
            name="umo_identity_score",
            description="Mean cosine of the people asked for and the faces found",
            kind=family.HISTOGRAM,
        )
        self._metrics: dict[tuple[Any, ...], Any] = {}
        self._waiting = self._queue.Metric(labels={"endpoint": endpoint})

    def waiting(self, calls: int) -> None:
        """Set the number of calls in hand."""
        self._waiting.set(calls)

    def ended(self, version: str, outcome: str, seconds: float) -> None:
        """Count a call."""
        labels = {"endpoint": self._endpoint, "version": version, "outcome": outcome}
        self._metric(self._calls, labels).increment(1)
        if outcome == "ok":
            labels = {"endpoint": self._endpoint, "version": version}
            self._metric(self._seconds, labels, SECONDS).observe(seconds)

    def score(self, version: str, score: float) -> None:
        """Record the identity score of a picture."""
        labels = {"endpoint": self._endpoint, "version": version}
        self._metric(self._scores, labels, COSINES).observe(score)

    def _metric(
        self, family: Any, labels: dict[str, str], buckets: list[float] | None = None
    ) -> Any:
        key = (id(family), *labels.values())
        if key not in self._metrics:
            more = {"buckets": buckets} if buckets else {}
            self._metrics[key] = family.Metric(labels=labels, **more)
        return self._metrics[key]


def log(event: str, **facts: Any) -> None:
    """Write one JSON line to the server's log."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + "Z"
    line = json.dumps({"time": moment, "event": event, **facts})
    print(line, file=sys.stderr, flush=True)
