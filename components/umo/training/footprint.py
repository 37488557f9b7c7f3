"""What serving keeps in a GPU's memory at FLUX.1-dev's real shape, accounted on the meta device.

Weights as the server loads them (`bfloat16`, or `int8` with the LoRA merged), the autoencoder in
float32, and the tensors alive at the highest moment of a denoising step and of decoding, which come
one after the other. What the allocator rounds up, CUDA's own context (about half a gigabyte) and
the face networks come on top.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from umo.bases.int8 import to_int8
from umo.training.peak import Peak, flash_attention
from umo.training.real_shape import META, bytes_of, conditioning, flux_dev, tensors_of

REFERENCES, REFERENCE_SIDE = 2, 320
WEIGHTS = ("bfloat16", "int8")
CARD = 24 * 2**30
"""Bytes of a GPU of 24 GB."""


def footprint(sizes: Iterable[int] = (512, 768, 1024), *, pictures: int = 4) -> dict[str, Any]:
    """Gigabytes (10^9 bytes) that a server needs for calls with two references.

    Args:
        sizes: Sides of square pictures, pixels.
        pictures: Denoised together.

    Returns:
        For each of `bfloat16` and `int8`: `weights` by part, and for each size `denoising`,
        `decoding` and `total`; besides `card`, what a GPU of 24 GB has.
    """
    return {
        "card": CARD / 1e9,
        "pictures": pictures,
        "torch": torch.__version__,
        **{weights: _serving(weights, list(sizes), pictures) for weights in WEIGHTS},
    }


def rows(result: dict[str, Any]) -> list[list[str]]:
    """The result of `footprint` as a table, its header first."""
    table = [["GB", *WEIGHTS]]
    for part in result[WEIGHTS[0]]["weights"]:
        table.append([part, *(f"{result[kind]['weights'][part]:.1f}" for kind in WEIGHTS)])
    for size in result[WEIGHTS[0]]["sizes"]:
        for part in ("denoising", "decoding", "total"):
            numbers = (f"{result[kind]['sizes'][size][part]:.1f}" for kind in WEIGHTS)
            table.append([f"{part}, {size} px", *numbers])
    return [*table, ["a card of 24 GB", *(f"{result['card']:.1f}" for _ in WEIGHTS)]]


@torch.no_grad()
def _serving(weights: str, sizes: list[int], pictures: int) -> dict[str, Any]:
    base = flux_dev(META)
    if weights == "int8":
        for network in base.large:
            to_int8(network)
    transformer, *encoders = base.large
    parts = {
        "transformer": _held([transformer]),
        "text encoders": _held(encoders),
        "autoencoder": _held([base.parts.vae]),
    }
    known, found = tensors_of(base), {}
    seen = conditioning(
        base,
        pictures,
        references=REFERENCES,
        side=REFERENCE_SIDE,
        device=META,
        dtype=torch.bfloat16,
    )
    sigma = torch.empty(pictures, device=META, dtype=torch.bfloat16)
    for size in sizes:
        shape = (pictures, *base.latent_shape(size, size))
        latents = torch.empty(shape, device=META, dtype=torch.bfloat16)
        with flash_attention(), Peak(known) as denoising:
            base.velocity(latents, sigma, seen, guidance=4.0)
        with flash_attention(), Peak(known) as decoding:
            base.decode(latents[:1].float())
        highest = denoising.highest / 1e9, decoding.highest / 1e9
        found[str(size)] = {
            "denoising": highest[0],
            "decoding": highest[1],
            "total": sum(parts.values()) + max(highest),
        }
    return {"weights": parts, "sizes": found}


def _held(networks: Iterable[nn.Module]) -> float:
    tensors = (t for one in networks for t in (*one.parameters(), *one.buffers()))
    return bytes_of(tensors) / 1e9
