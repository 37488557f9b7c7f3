import torch

from umo.rewards.shaping import hinge


def test_rewards_above_the_ceiling_teach_nothing() -> None:
    rewards = torch.tensor([-0.5, 0.2, 0.9], requires_grad=True)
    paid = hinge(rewards, 0.7)
    torch.testing.assert_close(paid, torch.tensor([-0.5, 0.2, 0.7]))
    paid.sum().backward()
    assert rewards.grad is not None
    assert rewards.grad.tolist() == [1, 1, 0]


def test_without_a_ceiling_rewards_are_as_they_are() -> None:
    rewards = torch.tensor([-0.5, 3.0])
    assert hinge(rewards, None) is rewards
