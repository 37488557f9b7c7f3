"""The seeded losses of small runs, as they were when the trainer was first right."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.tiny_runs import curve
from umo.data.shards import Dataset
from umo.training.rerefl import RereflConfig, train

SMALL = RereflConfig(
    steps=12, batch=4, rank=4, lr=1e-2, rollout_steps=4, window=(1, 2), warmup=3, log_every=1
)
# fmt: off
GOLDEN = {
    "matching": (
        SMALL,
        [0.009487, 2.46359, -1.148426, 1.239155, 0.867583, 0.283823,
         2.544814, 0.313274, 2.315942, 0.827831, -1.36333, 0.05564],
    ),
    "single, of the target": (
        replace(SMALL, reward="single", goal="target"),
        [-2.788177, -2.656354, -2.356418, -0.277794, -0.200941, -3.168106,
         -2.722654, -1.768807, -0.71339, -3.335708, -0.433014, -3.167915],
    ),
    "plain fine-tuning": (
        replace(SMALL, reward="none"),
        [1.36384, 1.381461, 1.255781, 1.401408, 1.288179, 1.315566,
         1.355281, 1.334105, 1.332486, 1.229627, 1.414002, 1.295306],
    ),
    "without an anchor": (
        replace(SMALL, anchor=0.0),
        [-1.363446, -0.550682, -1.658849, 2.996998, 0.353884, -1.819735,
         -2.603002, -0.932748, -2.325488, -1.596767, -1.312165, -1.336585],
    ),
}
# fmt: on


@pytest.mark.parametrize("name", GOLDEN)
def test_losses_are_what_they_were(
    name: str, model: Any, pack: Any, dataset: Dataset, tmp_path: Path
) -> None:
    config, expected = GOLDEN[name]
    train(config, base=model, dataset=dataset, pack=pack, out=tmp_path)
    steps, losses = zip(*curve(tmp_path), strict=True)
    assert steps == tuple(range(1, 13))
    np.testing.assert_allclose(losses, expected, rtol=1e-3, atol=1e-4)
