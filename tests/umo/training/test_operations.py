"""Operations are those that the layers' sizes give, and a device's rate is a plausible number."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from services.tiny_runs import CONFIG
from services.tiny_training import CHANNELS, TinyModel
from umo.bases.embedded import tiny
from umo.data.shards import Dataset
from umo.training.cache import encode_dataset
from umo.training.memory import recompute_blocks
from umo.training.operations import Cost, cost_of, dense_rate, operations, rate_of

COST = Cost(forward=1.0, step=10.0, decode=100.0)
PLAIN = replace(CONFIG, rollout_steps=8, window=(1, 4), points=2, anchor=0.0)
STOPS = torch.tensor([[4, 6], [7, 5]])


def test_a_sample_costs_what_its_layers_multiply(
    model: TinyModel, pack: Any, dataset: Dataset
) -> None:
    group = encode_dataset(dataset, model, pack, "reference", lambda line: None).groups[0]
    rank, tokens = 4, group.width * group.height // 64
    parameters = model.add_lora(rank, seed=0)
    cost = cost_of(model, group, parameters, recompute=False)
    layers = [(2 * CHANNELS + 8 + 2, 64), (64, CHANNELS)]
    whole = sum(2 * tokens * inputs * outputs for inputs, outputs in layers)
    low = sum(2 * tokens * rank * (inputs + outputs) for inputs, outputs in layers)
    assert cost.forward == whole + low
    assert whole + 3 * low > cost.step - cost.forward > low
    assert cost.decode == 2 * 2 * tokens * CHANNELS * 3 * 64
    assert all(parameter.grad is None for parameter in parameters)


def test_what_is_computed_anew_counts_once(pack: Any, dataset: Dataset) -> None:
    costs = []
    for recompute in (False, True):
        base = tiny(0)
        group = encode_dataset(dataset, base, pack, "reference", lambda line: None).groups[0]
        parameters = base.add_lora(2, seed=0)
        if recompute:
            recompute_blocks(base.transformer)
            recompute_blocks(base.decoder)
        costs.append(cost_of(base, group, parameters, recompute=recompute))
    plain, anew = costs
    assert anew.forward == plain.forward
    assert anew.step == pytest.approx(plain.step, rel=0.1)
    assert anew.decode == pytest.approx(plain.decode, rel=0.1)


@pytest.mark.parametrize(
    ("changes", "stops", "expected"),
    [
        ({}, STOPS, 6 + 7 + 4 * 10 + 4 * 100),
        ({"picture": "endpoint"}, STOPS, 16 + 4 * 10 + 4 * 100),
        ({"picture": "last-steps", "points": 1}, STOPS[:, :1], 4 + 7 + (4 + 1) * 10 + 200),
        ({"anchor": 1.0}, STOPS, 13 + 40 + 400 + 20),
        ({"velocity_anchor": 1.0}, STOPS, 13 + 40 + 400 + 20 + 2),
        ({"anchor": 1.0, "reward": "none"}, None, 20),
    ],
)
def test_a_pass_costs_its_forwards_steps_and_pictures(
    changes: dict[str, Any], stops: Any, expected: float
) -> None:
    assert operations(COST, replace(PLAIN, **changes), stops, 2) == expected


def test_rates_are_known_by_name_and_else_measured() -> None:
    assert dense_rate("NVIDIA H100 80GB HBM3") == 989e12
    assert dense_rate("something else") is None
    rate = rate_of(torch.device("cpu"))
    assert 1e8 < rate.operations_per_second < 1e15
    assert rate.source == "measured: the quickest of 5 float32 products of 1024 x 1024"
    assert rate_of(torch.device("cpu")) is rate
