"""Pretrain the embedded base: flow matching on rendered people, from nothing.

    x_sigma = (1 - sigma) x0 + sigma noise
    L = | v(x_sigma, sigma, prompt, references) - (noise - x0) |^2

Kept from UNO: clean reference latents, sigma uniform on the shifted schedule, prompts dropped at
random. A scene of N people also teaches its runs of fewer neighbours; each second one is mirrored.
Targets drift away from their references (`RenderConfig.drift`), as pairs do that a model made, so
the base keeps identity only in part: that is what ReReFL is for.
"""

import itertools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from umo.bases.embedded import new_base
from umo.bases.flux_reference import FluxReference
from umo.bases.protocol import LEVELS, Conditioning
from umo.config import to_mapping
from umo.data.render import TILE, RenderConfig, recount, render_samples
from umo.data.shards import Dataset, write_dataset
from umo.errors import UmoError, UsageError
from umo.files import atomic_folder, write_manifest, write_text
from umo.pixels import to_float
from umo.training.autoencoder import AutoencoderConfig, fit_autoencoder

LATENT_TILE = TILE // 8
COPYING_ENDS = 0.4
AUTOENCODER_SCENES = 2500
"""Scenes that the autoencoder learns from; more add nothing and cost memory."""
TRAINED = ("transformer", "text_encoder", "text_encoder_2")


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """How to make the embedded base."""

    data: RenderConfig = field(
        default_factory=lambda: RenderConfig(
            split="pretrain", samples=10_000, people={3: 1.0}, drift=0.6
        )
    )
    """The scenes to learn from."""
    workers: int = 2
    """Processes that render."""
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    """How to fit the autoencoder."""
    steps: int = 5000
    """Optimiser steps of the base."""
    tiles: int = 32
    """Tiles of the targets in a step; a batch holds `tiles / people` samples."""
    people: dict[int, float] = field(default_factory=lambda: {1: 0.2, 2: 0.42, 3: 0.38})
    """Share of steps by number of people."""
    lr: float = 8e-4
    """Learning rate (AdamW), constant after the warm-up, then linear to 0."""
    warmup: int = 100
    """Steps of warm-up."""
    decay: float = 0.25
    """Share of the steps in which the learning rate falls."""
    ema: float = 0.996
    """Decay of the averaged weights, which are the ones kept."""
    copying: float = 0.6
    """Share of samples whose target is their own references side by side: it teaches where to look.
    Falls to 0 over the first 40 % of the steps."""
    text_dropout: float = 0.1
    """Share of prompts replaced by an empty one."""
    seed: int = 0
    """Seed of everything."""

    def __post_init__(self) -> None:
        most = max(self.data.people)
        if max(self.people) > most:
            raise UsageError(
                f"people asks for {max(self.people)} in a picture, data.people has {most} at most"
            )
        if self.data.crowd:
            raise UsageError(
                f"data.crowd is {self.data.crowd}: a base learns from people that can be cut apart",
                hint="leave it 0",
            )


def pretrain(
    config: PretrainConfig, out: Path, *, progress: Callable[[dict[str, Any]], None] | None = None
) -> dict[str, Any]:
    """Render people, fit the autoencoder, train the base and save it as a diffusers folder.

    Args:
        config: How.
        out: Gets `data/`, `base/` (the folder that `load_base` reads) and `log.jsonl`. Rendered
            data that is there already is used again.
        progress: Called with the measures of a step.

    Returns:
        `base`, its folder, and `digest`.
    """
    lines: list[str] = []

    def note(measures: dict[str, Any]) -> None:
        lines.append(json.dumps(measures))
        if progress:
            progress(measures)

    data = out / "data"
    if not data.exists():
        samples = render_samples(config.data, workers=config.workers)
        write_dataset(samples, data, {"config": to_mapping(config.data)})
    dataset = Dataset(data)
    vae = fit_autoencoder(_tiles(dataset), config.autoencoder, seed=config.seed, progress=note)
    base = new_base(vae, _prompts(dataset), seed=config.seed)
    fit_base(base, encode_scenes(base, dataset), config, progress=note)
    facts = {
        "kind": "base",
        "name": "embedded",
        "licence": "Apache-2.0",
        "source": "trained by `umo pretrain` on rendered people",
        "config": to_mapping(config),
        "data": dataset.digest,
    }
    with atomic_folder(out / "base") as staged:
        base.save(staged)
        digest = write_manifest(staged, facts)
    write_text(out / "log.jsonl", "\n".join(lines) + "\n")
    return {"base": str(out / "base"), "digest": digest}


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """Encoded scenes with the same number of people, `N` of them."""

    prompts: list[str]
    """Of the whole scenes."""
    targets: Tensor
    """Latents `[N,C,h,people*w]`."""
    references: Tensor
    """Latents `[N,people,C,h,w]`."""


def encode_scenes(base: FluxReference, dataset: Dataset) -> list[Scenes]:
    """Encode every scene, each second one as its mirror image, grouped by number of people."""
    groups: dict[int, list[tuple[str, Tensor, Tensor]]] = {}
    for number, sample in enumerate(dataset):
        target = _picture(sample.target)
        references = torch.stack([_picture(reference) for reference in sample.references])
        if number % 2:
            target, references = target.flip(-1), references.flip(-1).flip(0)
        encoded = (
            sample.prompt,
            base.encode_images(target[None])[0],
            base.encode_images(references),
        )
        groups.setdefault(len(references), []).append(encoded)
    return [
        Scenes(
            prompts=[prompt for prompt, _, _ in rows],
            targets=torch.stack([target for _, target, _ in rows]),
            references=torch.stack([references for _, _, references in rows]),
        )
        for _, rows in sorted(groups.items())
    ]


def fit_base(
    base: FluxReference,
    scenes: Sequence[Scenes],
    config: PretrainConfig,
    *,
    progress: Callable[[dict[str, Any]], None],
) -> None:
    """Train transformer and text encoders in place; at the end they hold the averaged weights.

    Raises:
        UmoError: The loss is not finite.
    """
    modules = nn.ModuleDict({name: getattr(base.parts, name) for name in TRAINED})
    modules.requires_grad_(True)
    parameters = list(modules.parameters())
    average = [parameter.detach().clone() for parameter in parameters]
    optimiser = torch.optim.AdamW(parameters, lr=config.lr, betas=(0.9, 0.99), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, config))
    rng = torch.Generator().manual_seed(config.seed)
    for step, (prompts, target, references) in enumerate(_batches(scenes, config, rng)):
        text, pooled = base.encode_text(prompts)
        conditioning = Conditioning(text=text, pooled=pooled, references=references)
        height, width = target.shape[-2] * 8, target.shape[-1] * 8
        table = base.training_sigmas(height, width)
        sigma = table[torch.randint(LEVELS, (len(target),), generator=rng)]
        noise = torch.randn(target.shape, generator=rng)
        mixed = torch.lerp(target, noise, sigma[:, None, None, None])
        velocity = base.velocity(mixed, sigma, conditioning, guidance=1.0)
        loss = (velocity - (noise - target)).square().mean()
        if not loss.isfinite():
            raise UmoError(f"the loss is {loss.item()} at step {step}", hint="lower lr")
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        share = 1 - min(config.ema, (1 + step) / (10 + step))
        torch._foreach_lerp_(average, [p.detach() for p in parameters], share)
        if step % 50 == 0 or step == config.steps - 1:
            people = len(references)
            progress({"stage": "base", "step": step, "people": people, "loss": loss.item()})
    with torch.no_grad():
        for parameter, mean in zip(parameters, average, strict=True):
            parameter.copy_(mean)
    modules.requires_grad_(False).eval()


def _batches(
    scenes: Sequence[Scenes], config: PretrainConfig, rng: torch.Generator
) -> Iterator[tuple[list[str], Tensor, tuple[Tensor, ...]]]:
    """Prompts, target latents and reference latents: random runs of neighbours of one length."""
    counts = sorted(config.people)
    shares = torch.tensor([config.people[count] for count in counts])
    for step in range(config.steps):
        copying = config.copying * max(0.0, 1 - step / (COPYING_ENDS * config.steps))
        people = counts[int(torch.multinomial(shares, 1, generator=rng))]
        pools = [pool for pool in scenes if pool.references.shape[1] >= people]
        sizes = torch.tensor([float(len(pool.prompts)) for pool in pools])
        pool = pools[int(torch.multinomial(sizes, 1, generator=rng))]
        batch = max(config.tiles // people, 1)
        rows = torch.randint(len(pool.prompts), (batch,), generator=rng)
        spare = pool.references.shape[1] - people
        starts = torch.randint(spare + 1, (batch,), generator=rng).tolist()
        dropped = (torch.rand(batch, generator=rng) < config.text_dropout).tolist()
        prompts = [
            "" if drop else recount(pool.prompts[row], people)
            for row, drop in zip(rows.tolist(), dropped, strict=True)
        ]
        copied = (torch.rand(batch, generator=rng) < copying).tolist()
        targets, references = [], []
        for row, start, copy in zip(rows.tolist(), starts, copied, strict=True):
            left = start * LATENT_TILE
            scene = pool.targets[row, ..., left : left + people * LATENT_TILE]
            faces = pool.references[row, start : start + people]
            targets.append(torch.cat(faces.unbind(), dim=-1) if copy else scene)
            references.append(faces)
        yield prompts, torch.stack(targets), torch.stack(references).unbind(1)


def _rate(step: int, config: PretrainConfig) -> float:
    left = (config.steps - step) / max(math.ceil(config.decay * config.steps), 1)
    return min((step + 1) / config.warmup, left, 1.0)


def _picture(image: Any) -> Tensor:
    return to_float(torch.from_numpy(image))


def _tiles(dataset: Dataset) -> Tensor:
    """References and each person's share of the targets, uint8 `[N,H,W,3]`."""
    tiles = []
    for sample in itertools.islice(dataset, AUTOENCODER_SCENES):
        shares = [
            sample.target[:, k * TILE : (k + 1) * TILE] for k in range(len(sample.references))
        ]
        tiles += [torch.from_numpy(tile) for tile in (*sample.references, *shares)]
    return torch.stack(tiles)


def _prompts(dataset: Dataset) -> list[str]:
    prompts = {sample.prompt for sample in dataset}
    return sorted({recount(prompt, people) for prompt in prompts for people in range(1, 5)})
