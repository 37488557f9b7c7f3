"""Measures of several processes become one line, also after a resumption."""

import pytest
import torch

from umo.training.log import Meter
from umo.training.parallel import World

CPU = torch.device("cpu")


def test_means_are_weighted_and_a_line_starts_anew() -> None:
    meter, world = Meter(CPU), World()
    meter.add(0.25, reward=1.0)
    meter.add(0.75, reward=2.0)
    meter.add(loss=3.0)
    meter.count(8)
    with meter.clock("rollout"):
        pass
    line = meter.take(world)
    assert (line["reward"], line["loss"]) == (1.75, 3.0)
    assert {"seconds_rollout", "samples_per_second"} <= line.keys()
    assert meter.take(world) == {"samples_per_second": 0.0}


def test_a_state_goes_on() -> None:
    meter, other = Meter(CPU), Meter(CPU)
    meter.add(loss=1.0)
    other.restore(meter.state(World()), World())
    for each in (meter, other):
        each.add(loss=2.0)
    assert other.take(World()) == meter.take(World())


def test_after_a_resumption_every_process_has_the_same_names() -> None:
    """Sums over processes go by name: a name that only one has would mix up the others."""
    meter = Meter(CPU)
    meter.add(loss=1.0, reward_people_2=0.5)
    with meter.clock("judge"):
        pass
    state = meter.state(World())
    first, second = Meter(CPU), Meter(CPU)
    first.restore(state, World(rank=0, size=2))
    second.restore(state, World(rank=1, size=2))
    one, other = first.state(World()), second.state(World())
    assert all(one[key].keys() == other[key].keys() for key in ("totals", "weights", "seconds"))
    assert one["totals"] == {"loss": pytest.approx(1.0), "reward_people_2": pytest.approx(0.5)}
    assert set(other["totals"].values()) == {0.0}
