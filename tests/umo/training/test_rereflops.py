"""What a step costs: FLUX.1-dev's published sizes, and steps that really run."""

from typing import Any

import pytest
import torch

from umo.bases.embedded import tiny
from umo.errors import UsageError
from umo.training.real_shape import flux_dev
from umo.training.rereflops import RereflopsConfig, account, dense_rate, measure, rows

SMALL = RereflopsConfig(sizes=(64,), references=1, reference_size=64, rank=4, steps=1)


def test_flux_dev_has_its_published_size() -> None:
    base = flux_dev(torch.device("meta"))
    assert sum(p.numel() for p in base.transformer.parameters()) == 11_901_408_320
    lora = base.add_lora(512, seed=0)
    assert sum(p.numel() for p in lora) == 956_301_312
    t5 = base.parts.text_encoder_2
    assert sum(p.numel() for p in t5.parameters()) == 4_762_310_656


@pytest.mark.slow
def test_a_forward_pass_costs_two_operations_a_weight_and_token() -> None:
    accounted: Any = account(RereflopsConfig(references=1), 256)
    operations, tokens = accounted["operations"], accounted["tokens"]
    assert tokens == 512 + 256 + 400
    # 5 of 19 + 38 blocks work on text and image apart; attention comes on top of the weights
    assert 0.5 < operations["forward"] / (2 * 11.9e9 * tokens) < 1.2
    assert operations["rollout"] == pytest.approx(19.5 * operations["forward"])
    assert operations["flow matching"] > 2 * operations["forward"]
    assert accounted["gigabytes"]["moments"] == pytest.approx(7.65, abs=0.01)
    assert 0.3 < accounted["gigabytes"]["highest activations"] < 10
    assert accounted["gigabytes"]["total"] < 80


def test_steps_are_measured() -> None:
    found = measure(tiny(0), SMALL, 64, torch.device("cpu"))
    seconds = found["seconds"]
    assert {"rollout", "step", "reward", "backward", "anchor"} < seconds.keys()
    assert seconds["step of all parts"] >= seconds["backward"] > 0
    assert found["peak_gigabytes"] > 0


def test_the_table_says_what_is_accounted_and_what_measured() -> None:
    accounted = {"operations": {"step": 2e12}, "gigabytes": {"total": 40.0}}
    measured = {"seconds": {"rollout": 1.5}, "peak_gigabytes": 44.0, "utilisation": 0.4}
    sizes = [{"size": 512, "accounted": accounted, "measured": None}]
    assert {row[1] for row in rows({"sizes": sizes, "measured": False})[1:]} == {"accounted"}
    sizes[0]["measured"] = measured
    both = rows({"sizes": sizes, "measured": True})
    assert ["rollout, s", "measured", "1.50"] in both
    assert both[-1] == ["utilisation", "both", "0.40"]


def test_rates_are_known_by_name() -> None:
    assert dense_rate("NVIDIA H100 80GB HBM3") == 989e12
    assert dense_rate("Radeon") is None


def test_a_side_that_is_no_multiple_of_16_is_refused() -> None:
    with pytest.raises(UsageError, match="a side is 500 px"):
        RereflopsConfig(sizes=(500,))
