"""A LoRA of a lower rank: the best one in the sense of Frobenius (Eckart and Young, 1936)."""

from dataclasses import dataclass

import torch

from umo.errors import UsageError
from umo.formats.lora import Lora, Pair


@dataclass(frozen=True)
class Kept:
    """The share of the squared Frobenius norm of `up @ down` that is left, 0 to 1."""

    total: float
    """Of all layers together."""
    least: float
    """Of the layer that lost most."""
    layer: str
    """Which that is."""


def reduce_rank(lora: Lora, rank: int) -> tuple[Lora, Kept]:
    """The nearest LoRA of a rank, in the dtype that it had.

    The product is never formed: with `up = Q1 R1` and `down^T = Q2 R2` its singular values are
    those of `R1 R2^T`, which is as small as the rank.

    Raises:
        UsageError: The rank is below 1 or not lower than the one that it has.
    """
    now = min(len(pair.down) for pair in lora.values())
    if not 1 <= rank < now:
        raise UsageError(f"rank is {rank}, the LoRA has {now}", hint=f"choose 1 to {now - 1}")
    reduced: Lora = {}
    energies: dict[str, tuple[float, float]] = {}
    for layer, pair in lora.items():
        basis_out, out = torch.linalg.qr(pair.up.double())
        basis_in, inside = torch.linalg.qr(pair.down.double().T)
        left, values, right = torch.linalg.svd(out @ inside.T)
        root = values[:rank].sqrt()
        reduced[layer] = Pair(
            down=((basis_in @ right[:rank].T) * root).T.to(pair.down.dtype),
            up=((basis_out @ left[:, :rank]) * root).to(pair.up.dtype),
        )
        squares = values.square()
        energies[layer] = (squares[:rank].sum().item(), squares.sum().item())
    shares = {layer: kept / whole if whole else 1.0 for layer, (kept, whole) in energies.items()}
    least = min(shares, key=lambda layer: shares[layer])
    kept, whole = (sum(column) for column in zip(*energies.values(), strict=True))
    total = kept / whole if whole else 1.0
    return reduced, Kept(total=total, least=shares[least], layer=least)
