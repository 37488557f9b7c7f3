"""Memory that is accounted: tensors made and gone, and FLUX.1-dev's own numbers."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from umo.training.footprint import footprint, rows
from umo.training.peak import Peak, flash_attention

MEGA = 4 * 1000**2


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_what_is_gone_counts_no_more(device: str) -> None:
    x = torch.ones(1000, 1000, device=device)
    weight = nn.Parameter(torch.ones(1000, 1000, device=device))
    with Peak([x, weight]) as peak:
        first = x @ weight.t()
        second = first.relu()
        assert peak.bytes == 2 * MEGA
        del first
        third = second * 2
        assert peak.bytes == 2 * MEGA
        third.sum().backward()
    assert weight.grad is not None
    assert 4 * MEGA <= peak.highest < 4 * MEGA + 100


def test_attention_holds_no_table_of_scores() -> None:
    query = torch.empty(1, 4, 512, 64, device="meta", dtype=torch.bfloat16)
    table = 4 * 512 * 512 * 2
    with Peak([query]) as plain:
        F.scaled_dot_product_attention(query, query, query)
    with flash_attention(), Peak([query]) as flash:
        assert F.scaled_dot_product_attention(query, query, query).shape == query.shape
    assert flash.highest < table < plain.highest
    assert F.scaled_dot_product_attention.__name__ == "scaled_dot_product_attention"


@pytest.mark.slow
def test_8_bits_fit_on_a_card_of_24_gb() -> None:
    found = footprint((1024,), pictures=1)
    small, full = found["int8"], found["bfloat16"]
    assert full["weights"]["transformer"] == pytest.approx(23.8, abs=0.1)
    assert small["weights"]["transformer"] == pytest.approx(11.9, abs=0.2)
    assert small["weights"]["text encoders"] < 0.6 * full["weights"]["text encoders"]
    assert small["sizes"]["1024"]["total"] < found["card"] - 1 < full["sizes"]["1024"]["total"]
    assert ["a card of 24 GB", "25.8", "25.8"] in rows(found)
