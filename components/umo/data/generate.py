"""Generated samples: a base paints people of its own, and then groups of them from references.

In-context generation as UNO makes its data (arXiv 2504.02160): every person is painted alone from a
prompt and a seed, which makes the reference; then their group is painted from a prompt and the
references. Few groups keep everybody's identity, so a strict filter follows
(`umo.data.filters.recognised`).

The people of a candidate depend on the seed, the split and the number of the candidate, whatever is
painted beside it; so candidates can be painted in any number of shards.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from umo.bases.protocol import ReferenceModel, device_of
from umo.data.filters import Likeness
from umo.data.render import COUNTS, MAX_PEOPLE, SPLITS
from umo.data.scenery import PLACES
from umo.data.schema import Image, Sample
from umo.pixels import to_bytes, to_float
from umo.training.rollout import sample as paint


@dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """What to generate."""

    split: Literal["pretrain", "tune", "held-out"] = "tune"
    """What the samples are for; the people of each split are others."""
    samples: int = 256
    """How many candidates; the filter leaves fewer."""
    people: dict[int, float] = field(default_factory=lambda: {2: 0.6, 3: 0.4})
    """Share of candidates by number of people."""
    alone: tuple[str, ...] = ("{people} {place}", "A photo of {people} {place}")
    """Prompts of references."""
    together: tuple[str, ...] = (
        "{people} {place}",
        "A photo of {people} {place}",
        "{people} side by side {place}",
    )
    """Prompts of groups."""
    places: tuple[str, ...] = tuple(PLACES)
    """What `{place}` stands for."""
    size: int = 96
    """Height of every picture, and width of one person's share of it, px."""
    steps: int = 12
    """Euler steps of a picture."""
    guidance: float = 4.0
    """Guidance scale."""
    likeness: Likeness = field(default_factory=Likeness)
    """When a group is accepted."""
    licence: str = "CC0-1.0"
    """Licence of what the base paints."""
    shard: int = 64
    """Candidates in a shard, which is what a killed run loses at most."""
    batch: int = 8
    """Candidates painted at a time."""
    seed: int = 0
    """Of the people, prompts and pictures."""

    def __post_init__(self) -> None:
        for name in ("samples", "steps", "shard", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be at least 1")
        if not self.people or not set(self.people) <= set(range(1, MAX_PEOPLE + 1)):
            raise ValueError(
                f"people has counts {sorted(self.people)}, allowed are 1 to {MAX_PEOPLE}"
            )
        if not (self.alone and self.together and self.places):
            raise ValueError("alone, together and places each need an entry")

    @property
    def shards(self) -> list[range]:
        """The candidates of each shard."""
        starts = range(0, self.samples, self.shard)
        return [range(first, min(first + self.shard, self.samples)) for first in starts]


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What is drawn for a candidate before anything is painted."""

    index: int
    prompt: str
    alone: list[str]
    """Prompt of each reference."""
    seeds: list[int]
    """Of the group and of each reference."""


def generate_samples(
    config: GenerateConfig, base: ReferenceModel, indices: range, *, name: str
) -> Iterator[Sample]:
    """Paint candidates in order; the faces in them have not been looked for.

    Args:
        config: What to generate.
        base: Paints; with its LoRA, if it has one.
        indices: Which candidates.
        name: Goes before the numbers in keys and identities.
    """
    plans = [_plan(config, index) for index in indices]
    for first in range(0, len(plans), config.batch):
        batch = plans[first : first + config.batch]
        references = _references(config, base, batch)
        targets = _groups(config, base, batch, references)
        for plan in batch:
            yield Sample(
                key=f"{name}-{plan.index:06d}",
                prompt=plan.prompt,
                target=targets[plan.index],
                references=tuple(references[plan.index]),
                boxes=np.zeros((len(plan.alone), 4), np.float32),
                identities=tuple(f"{name}-{plan.index:06d}-{k}" for k in range(len(plan.alone))),
                split=config.split,
                source="generated",
                licence=config.licence,
                consent="generated",
            )


def _plan(config: GenerateConfig, index: int) -> _Plan:
    rng = np.random.default_rng((config.seed, SPLITS[config.split], index))
    counts = sorted(config.people)
    shares = np.array([config.people[count] for count in counts])
    count = int(rng.choice(counts, p=shares / shares.sum()))

    def prompt(forms: Sequence[str], people: int) -> str:
        form, place = str(rng.choice(forms)), str(rng.choice(config.places))
        who = COUNTS[people - 1] if form.startswith("{people}") else COUNTS[people - 1].lower()
        return form.format(people=who, place=place)

    return _Plan(
        index=index,
        prompt=prompt(config.together, count),
        alone=[prompt(config.alone, 1) for _ in range(count)],
        seeds=[int(seed) for seed in rng.integers(2**31, size=count + 1)],
    )


def _references(
    config: GenerateConfig, base: ReferenceModel, plans: Sequence[_Plan]
) -> dict[int, list[Image]]:
    """Every person of some candidates, painted alone."""
    prompts = [prompt for plan in plans for prompt in plan.alone]
    pictures = iter(
        _paint(
            config,
            base,
            prompts,
            [[] for _ in prompts],
            [seed for plan in plans for seed in plan.seeds[1:]],
            people=1,
        )
    )
    return {plan.index: [next(pictures) for _ in plan.alone] for plan in plans}


def _groups(
    config: GenerateConfig,
    base: ReferenceModel,
    plans: Sequence[_Plan],
    references: dict[int, list[Image]],
) -> dict[int, Image]:
    """The groups of some candidates, those with the same number of people at once."""
    painted: dict[int, Image] = {}
    for count in sorted({len(plan.alone) for plan in plans}):
        same = [plan for plan in plans if len(plan.alone) == count]
        pictures = _paint(
            config,
            base,
            [plan.prompt for plan in same],
            [references[plan.index] for plan in same],
            [plan.seeds[0] for plan in same],
            people=count,
        )
        painted |= {plan.index: picture for plan, picture in zip(same, pictures, strict=True)}
    return painted


@torch.no_grad()
def _paint(
    config: GenerateConfig,
    base: ReferenceModel,
    prompts: Sequence[str],
    references: Sequence[Sequence[Image]],
    seeds: Sequence[int],
    *,
    people: int,
) -> list[Image]:
    device = device_of(base.transformer)
    floats = [[to_float(torch.from_numpy(r).to(device)) for r in slot] for slot in references]
    pictures = paint(
        base,
        base.encode(prompts, floats),
        height=config.size,
        width=config.size * people,
        steps=config.steps,
        guidance=config.guidance,
        seeds=seeds,
    )
    return list(to_bytes(pictures).cpu().numpy())
