"""Watching a run with the judge, the face network that the reward never sees.

The reward can be raised by pictures that only please its own embedder. The judge scores the same
pictures with the same matching. Both are smoothed, `s <- s + (x - s) / 4`, since batches differ.
"""

from dataclasses import asdict, dataclass
from typing import Any

SMOOTHING = 4


@dataclass
class Vigil:
    """Smoothed reward and judge, and for how long the judge has not risen."""

    reward: float | None = None
    """Smoothed reward."""
    judge: float | None = None
    """Smoothed judge."""
    best: float = float("-inf")
    """Highest smoothed judge."""
    reward_then: float = float("-inf")
    """Smoothed reward when the judge was highest."""
    still: int = 0
    """Looks since the judge was highest."""

    def look(self, reward: float, judge: float) -> None:
        """Take in the reward and the judge of a batch."""
        self.reward = _smooth(self.reward, reward)
        self.judge = _smooth(self.judge, judge)
        if self.judge > self.best:
            self.best, self.reward_then, self.still = self.judge, self.reward, 0
        else:
            self.still += 1

    def alarm(self, patience: int) -> bool:
        """Whether the reward has risen since the judge last did, `patience` looks ago or more."""
        return self.over(patience) and self.reward is not None and self.reward > self.reward_then

    def over(self, patience: int) -> bool:
        """Whether the judge has not risen for `patience` looks."""
        return self.still >= patience

    def state(self) -> dict[str, Any]:
        """Plain JSON values that make the same vigil again."""
        return {k: v for k, v in asdict(self).items() if v not in (None, float("-inf"))}


def _smooth(before: float | None, value: float) -> float:
    return value if before is None else before + (value - before) / SMOOTHING
