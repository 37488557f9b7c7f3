"""Noise levels of the flow-matching loss: each base's are those of its publisher's training."""

import math

import pytest
import torch

from services.bases import tiny_flux, tiny_flux2
from umo.bases.embedded import tiny
from umo.bases.omnigen2_schedule import training_times
from umo.bases.omnigen2_tiny import tiny as tiny_omnigen2
from umo.bases.protocol import LEVELS


def test_unos_table_is_shifted_by_its_tokens_and_has_both_ends() -> None:
    table = tiny_flux().training_sigmas(512, 512)
    assert len(table) == LEVELS == 1000
    assert (table[0], table[-1]) == (1, 0)
    s = 1 - 400 / 999
    assert table[400] == pytest.approx(math.exp(0.63) / (math.exp(0.63) + 1 / s - 1), abs=1e-6)


def test_omnigen2_draws_the_sigmoid_of_a_normal_and_shifts_it_by_its_tokens() -> None:
    normal = torch.randn(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    m = math.exp(0.5 + 0.65 * (24 * 48 - 256) / 3840)
    u = normal.sigmoid()
    drawn = u / (m - m * u + u)
    table = training_times(384, 768)
    assert len(table) == LEVELS
    assert bool((table.diff() > 0).all())
    for share in (0.05, 0.25, 0.5, 0.75, 0.95):
        assert table[round(share * LEVELS)] == pytest.approx(
            drawn.quantile(share).item(), abs=0.005
        )
    sigmas = tiny_omnigen2(0).training_sigmas(384, 768)
    assert torch.allclose(sigmas, (1 - table).float())
    assert float(sigmas.mean()) > 0.55


def test_the_others_take_those_of_a_roll_out() -> None:
    for base in (tiny(0), tiny_flux2()):
        assert torch.equal(base.training_sigmas(96, 192), base.sigmas(LEVELS - 1, 96, 192))
