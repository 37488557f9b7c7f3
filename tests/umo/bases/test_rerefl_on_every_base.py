"""ReReFL on each architecture: its gradient reaches the LoRA alone, and the reward rises."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from services.bases import tiny_flux, tiny_flux2
from services.tiny_training import tiny_dataset, tiny_pack
from umo.bases.omnigen2_tiny import tiny as tiny_omnigen2
from umo.training.cache import Group, encode_dataset
from umo.training.config import RereflConfig
from umo.training.objective import Objective

PACK = tiny_pack()
ROWS = torch.arange(2)
SETTINGS = {"points": 1, "rollout_steps": 3, "window": (1, 2), "guidance": 1.0}


def modules(base: Any) -> Iterator[nn.Module]:
    """Every network of a base."""
    parts = vars(base.parts) if hasattr(base, "parts") else base.pipeline.components
    return (part for part in parts.values() if isinstance(part, nn.Module))


@pytest.fixture(
    scope="module",
    params=[tiny_flux, tiny_flux2, tiny_omnigen2],
    ids=["flux", "flux2", "omnigen2"],
)
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Callable[[int], Any], Group]:
    """A base's maker, and a group of samples that it encoded."""
    dataset = tiny_dataset(tmp_path_factory.mktemp("data") / "people")
    groups = encode_dataset(dataset, request.param(0), PACK, "reference", lambda line: None).groups
    return request.param, max(groups, key=lambda group: len(group.conditioning.references))


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_the_reward_reaches_every_lora_matrix_and_nothing_else(
    made: tuple[Callable[[int], Any], Group], guidance: float
) -> None:
    base, group = made[0](0), made[1]
    lora = base.add_lora(4, seed=0)
    for parameter in lora:
        parameter.data.add_(0.01)
    objective = Objective(RereflConfig(**{**SETTINGS, "guidance": guidance}), base, PACK)
    rolled = objective.roll_out(group, ROWS, objective.draw(group, 2), ROWS)
    results, _, _ = objective.rewards(group, ROWS, rolled)
    torch.stack([result.reward for result in results]).mean().backward()
    matrices = {
        id(layer.weight)
        for target in base.lora_targets()
        for side in ("lora_A", "lora_B")
        for layer in getattr(base.transformer.get_submodule(target), side).values()
    }
    assert {id(parameter) for parameter in lora} == matrices
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in lora)
    networks = (*modules(base), PACK.reward, PACK.judge)
    everything = [p for network in networks for p in network.parameters()]
    assert all(p.grad is None for p in everything if id(p) not in matrices)


def test_the_reward_rises_on_a_fixed_batch(made: tuple[Callable[[int], Any], Group]) -> None:
    base, group = made[0](0), made[1]
    objective = Objective(RereflConfig(**SETTINGS), base, PACK)
    draws = objective.draw(group, 2)
    optimizer = torch.optim.Adam(base.add_lora(8, seed=0), lr=0.03)
    rewards = []
    for _ in range(8):
        rolled = objective.roll_out(group, ROWS, draws, ROWS)
        results, _, _ = objective.rewards(group, ROWS, rolled)
        reward = torch.stack([result.reward for result in results]).mean()
        rewards.append(reward.item())
        optimizer.zero_grad()
        (-reward).backward()
        optimizer.step()
    assert max(rewards[1:4]) > rewards[0]
    assert min(rewards[5:]) > rewards[0] + 0.1, rewards


def test_the_loss_of_the_base_reaches_the_lora(made: tuple[Callable[[int], Any], Group]) -> None:
    base, group = made[0](0), made[1]
    lora = base.add_lora(2, seed=0)
    config = RereflConfig(**SETTINGS, reward="none")
    outcome = Objective(config, base, PACK).backward(group, ROWS)
    assert 0 < outcome.loss < 10
    assert any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in lora)


def test_a_run_leaves_a_file_that_fits(
    made: tuple[Callable[[int], Any], Group], tmp_path: Path
) -> None:
    base = made[0](0)
    base.add_lora(2, seed=0)
    base.save_lora(tmp_path / "lora.safetensors")
    made[0](1).load_lora(tmp_path / "lora.safetensors")
