import pytest
import torch

from umo.errors import UsageError
from umo.formats.lora import Lora, Pair
from umo.formats.lowrank import reduce_rank


def lora(rank: int = 6) -> Lora:
    generator = torch.Generator().manual_seed(0)
    return {
        name: Pair(
            down=torch.randn(rank, 20, generator=generator),
            up=torch.randn(30, rank, generator=generator) * scale,
        )
        for name, scale in (("first", 1.0), ("second", 0.1))
    }


def test_it_is_the_nearest_of_its_rank() -> None:
    whole = lora()
    reduced, kept = reduce_rank(whole, 2)
    squares_kept = squares = 0.0
    shares = {}
    for name, pair in whole.items():
        product = pair.up @ pair.down
        left, values, right = torch.linalg.svd(product.double(), full_matrices=False)
        nearest = (left[:, :2] * values[:2]) @ right[:2]
        assert reduced[name].down.shape == (2, 20)
        assert reduced[name].up.shape == (30, 2)
        assert torch.allclose((reduced[name].up @ reduced[name].down).double(), nearest, atol=1e-5)
        shares[name] = float(values[:2].square().sum() / values.square().sum())
        squares_kept += float(values[:2].square().sum())
        squares += float(values.square().sum())
    assert kept.total == pytest.approx(squares_kept / squares)
    assert kept.least == pytest.approx(min(shares.values()))
    assert shares[kept.layer] == pytest.approx(kept.least)


def test_nothing_is_lost_where_the_rank_was_lower_than_it_seemed() -> None:
    thin = {
        name: Pair(down=torch.cat([pair.down, pair.down]), up=torch.cat([pair.up, pair.up], dim=1))
        for name, pair in lora(2).items()
    }
    reduced, kept = reduce_rank(thin, 2)
    assert kept.total == pytest.approx(1.0)
    for name, pair in thin.items():
        assert torch.allclose(reduced[name].up @ reduced[name].down, pair.up @ pair.down, atol=1e-4)


def test_a_lora_that_does_nothing_keeps_everything() -> None:
    idle = {"only": Pair(down=torch.ones(4, 5), up=torch.zeros(6, 4))}
    reduced, kept = reduce_rank(idle, 1)
    assert (kept.total, kept.least) == (1.0, 1.0)
    assert not reduced["only"].up.any()


@pytest.mark.parametrize("rank", [0, 6, 7])
def test_a_rank_that_is_not_lower_is_refused(rank: int) -> None:
    with pytest.raises(UsageError, match=f"rank is {rank}, the LoRA has 6"):
        reduce_rank(lora(), rank)
