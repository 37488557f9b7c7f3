"""What becomes of a reward before it is a loss."""

from torch import Tensor


def hinge(rewards: Tensor, ceiling: float | None) -> Tensor:
    """Rewards that pay up to a ceiling only: `min(R, ceiling)`.

    ImageReward's ReFL trains on `relu(2 - R)` (arXiv 2304.05977), SRPO on `relu(0.7 - R)` (arXiv
    2509.06942); `-min(R, c)` differs from `relu(c - R)` by the constant `c`, so the gradient is
    the same: none above the ceiling, where a reward is more easily hacked than earned.

    Args:
        rewards: `[n]`.
        ceiling: None pays without end.
    """
    return rewards if ceiling is None else rewards.clamp(max=ceiling)
