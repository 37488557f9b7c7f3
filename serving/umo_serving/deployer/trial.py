"""A trial: whether the challenger does worse than the champion, by the server's own metrics."""

import urllib.request
from dataclasses import dataclass, fields

from prometheus_client.parser import text_string_to_metric_families

from umo.errors import ExitCode, UmoError
from umo_serving.deployer.policy import Policy
from umo_serving.folder import Settings

TIMEOUT = 10.0
OWN_FAULT = frozenset({"failed", "unavailable", "differs"})
"""Outcomes that a version is to blame for."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What the server counted for one version."""

    calls: float = 0.0
    """Answered, in whatever way."""
    failed: float = 0.0
    """Of them, failed by its own fault."""
    painted: float = 0.0
    """Calls with pictures."""
    seconds: float = 0.0
    """They took, in all."""
    measured: float = 0.0
    """Pictures with an identity score."""
    score: float = 0.0
    """Sum of these scores."""

    def since(self, before: "Counts") -> "Counts":
        """What was counted since; all of it if the server began to count anew."""
        if before.calls > self.calls:
            return self
        return Counts(
            **{
                field.name: getattr(self, field.name) - getattr(before, field.name)
                for field in fields(self)
            }
        )


def counts(settings: Settings, version: str) -> Counts:
    """What a server has counted for a version.

    Raises:
        UmoError: Its metrics cannot be read now.
    """
    address = f"http://{settings.host}:{settings.metrics_port}/metrics"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(address, timeout=TIMEOUT) as answer:
            text = answer.read().decode()
    except OSError as error:
        raise UmoError(
            f"cannot read the metrics at {address}: {error}",
            exit_code=ExitCode.INTERRUPTED,
            retryable=True,
        ) from error
    found: dict[str, float] = dict.fromkeys((field.name for field in fields(Counts)), 0.0)
    names = {
        "umo_generation_seconds_count": "painted",
        "umo_generation_seconds_sum": "seconds",
        "umo_identity_score_count": "measured",
        "umo_identity_score_sum": "score",
    }
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.labels.get("version") != version:
                continue
            if sample.name == "umo_calls_total":
                found["calls"] += sample.value
                found["failed"] += sample.value * (sample.labels["outcome"] in OWN_FAULT)
            elif sample.name in names:
                found[names[sample.name]] += sample.value
    return Counts(**found)


def fault(champion: Counts, challenger: Counts, policy: Policy) -> str:
    """Why a challenger must not go on; nothing if it may.

    Args:
        champion: Counted during the trial.
        challenger: Likewise.
        policy: What is allowed.
    """
    rate, usual = (_mean(each.failed, each.calls) or 0.0 for each in (challenger, champion))
    if rate > usual + policy.failures:
        return f"{rate:.0%} of its calls failed, of the champion's {usual:.0%}"
    took, usually = (_mean(each.seconds, each.painted) for each in (challenger, champion))
    if took and usually and took > usually * policy.slowdown:
        return f"it took {took:.2f} s a call, the champion {usually:.2f} s"
    score, before = (_mean(each.score, each.measured) for each in (challenger, champion))
    if score is not None and before is not None and score < before - policy.loss:
        return f"its identity score was {score:.3f}, the champion's {before:.3f}"
    return ""


def _mean(total: float, count: float) -> float | None:
    return total / count if count else None
