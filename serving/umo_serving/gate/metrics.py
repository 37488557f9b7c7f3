"""Metrics for Prometheus."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 180.0)
COSINES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


class Metrics:
    """What is counted."""

    def __init__(self) -> None:
        disable_created_metrics()
        self.registry = CollectorRegistry()
        labels = ("endpoint", "version")
        self.calls = Counter(
            "umo_calls",
            "Calls by outcome: ok, repeated, or the kind of failure",
            (*labels, "outcome"),
            registry=self.registry,
        )
        self.queue = Gauge(
            "umo_queue", "Calls that wait or are being painted", registry=self.registry
        )
        self.seconds = Histogram(
            "umo_generation_seconds",
            "Seconds from a call to its pictures",
            labels,
            buckets=SECONDS,
            registry=self.registry,
        )
        self.scores = Histogram(
            "umo_identity_score",
            "Mean cosine of the people asked for and the faces found",
            labels,
            buckets=COSINES,
            registry=self.registry,
        )
