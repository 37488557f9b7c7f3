"""Fit the embedded base's autoencoder: `L = |x - y| + 4 (x - y)^2 + |grad x - grad y| / 2`.

Noise on the latents makes the decoder forgive what a denoiser leaves behind; the squared term finds
colours early, and the gradient term keeps eyes and mouths, which carry identity, sharp.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderDC
from torch import Tensor

from umo.bases.embedded import new_autoencoder
from umo.pixels import to_float


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """How to fit the autoencoder."""

    steps: int = 2000
    """Optimiser steps."""
    batch: int = 8
    """Tiles a step."""
    lr: float = 2e-3
    """Highest learning rate (AdamW): reached in 30 steps, constant, falls in the last 30 %."""
    noise: float = 0.05
    """Highest standard deviation of the noise on the latents, in their own deviations."""


def fit_autoencoder(
    tiles: Tensor,
    config: AutoencoderConfig,
    *,
    seed: int,
    progress: Callable[[dict[str, Any]], None],
) -> AutoencoderDC:
    """Fit an autoencoder.

    Args:
        tiles: Pictures uint8 `[N,H,W,3]`.
        config: How.
        seed: Seed of weights, batches and noise.
        progress: Called with the step's measures.

    Returns:
        The autoencoder; its `scaling_factor` gives its latents unit deviation.
    """
    vae = new_autoencoder(seed=seed)
    rng = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(vae.parameters(), lr=config.lr, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: min((step + 1) / 30, (config.steps - step) / (0.3 * config.steps), 1.0),
    )
    for step in range(config.steps):
        rows = torch.randint(len(tiles), (config.batch,), generator=rng)
        pictures = to_float(tiles[rows]).contiguous()
        if step % 2:
            pictures = pictures.flip(-1)
        latents = vae.encode(pictures).latent
        deviation = latents.detach().std()
        strength = torch.rand(config.batch, 1, 1, 1, generator=rng) * config.noise
        noise = torch.randn(latents.shape, generator=rng) * strength * deviation
        painted = vae.decode(latents + noise).sample
        error = painted - pictures
        edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        loss = error.abs().mean() + 4 * error.square().mean() + edges / 2
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 50 == 0 or step == config.steps - 1:
            psnr = float(-10 * (error.detach().square().mean() / 4).log10())
            progress({"stage": "autoencoder", "step": step, "loss": loss.item(), "psnr": psnr})
    vae.requires_grad_(False).eval()
    rows = torch.randint(len(tiles), (256,), generator=rng)
    with torch.no_grad():
        vae.register_to_config(
            scaling_factor=1 / float(vae.encode(to_float(tiles[rows]).contiguous()).latent.std())
        )
    return vae
