"""The held-out rendered benchmark: scenes of one to six people whom no training ever saw.

The people are those of the renderer's split `held-out`; prompts are the renderer's own. Each
person's other picture is their place in the rendered scene, so how far two real pictures agree is
known. The version is the sha256 of everything that was rendered.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from umo import lineage
from umo.benchmarks.folder import REFERENCES, ensure_benchmark, write_items
from umo.benchmarks.item import Benchmark, Item, Reference
from umo.config import to_mapping
from umo.data.render import LICENCE, MAX_PEOPLE, RenderConfig, apart, render_sample
from umo.data.schema import Image, Sample
from umo.errors import UsageError

NAME = "rendered"
GRID = 2


@dataclass(frozen=True, kw_only=True)
class GroupsConfig:
    """Which groups of people a benchmark asks for."""

    prompts: int = 10
    """Prompts for each number of people."""
    most_people: int = MAX_PEOPLE
    """Groups have one person to so many."""

    def __post_init__(self) -> None:
        if self.prompts < 1:
            raise UsageError(f"prompts is {self.prompts}", hint="it must be at least 1")
        if not 1 <= self.most_people <= MAX_PEOPLE:
            raise UsageError(
                f"most_people is {self.most_people}", hint=f"it must be 1 to {MAX_PEOPLE}"
            )


def rendered_benchmark(folder: Path, config: GroupsConfig) -> Benchmark:
    """Render the benchmark of `config` into `folder`, unless it is there."""

    def write(staged: Path) -> None:
        (staged / REFERENCES).mkdir()
        items = [
            _write(render_sample(_scenes(config, people), number), staged)
            for people in range(1, config.most_people + 1)
            for number in range(config.prompts)
        ]
        facts = {
            "benchmark": NAME,
            "grid": GRID,
            "groups": to_mapping(config),
            "licence": LICENCE,
            "source": "rendered by umo.data.render",
        }
        write_items(staged, items, facts)

    return ensure_benchmark(folder, lineage.identity(config, data={"benchmark": NAME}), write)


def _scenes(config: GroupsConfig, people: int) -> RenderConfig:
    return RenderConfig(
        split="held-out",
        samples=config.prompts,
        people={people: 1.0},
        seed=people,
    )


def _write(sample: Sample, folder: Path) -> Item:
    """Save the pictures of a scene; the item that asks for it again."""
    people = range(len(sample.identities))
    pairs = zip(sample.references, (alone.target for alone in apart(sample)), strict=True)
    for person, (reference, other) in enumerate(pairs):
        _save(reference, folder / REFERENCES / f"{sample.key}-{person}.png")
        _save(other, folder / REFERENCES / f"{sample.key}-{person}-other.png")
    return Item(
        key=sample.key,
        prompt=sample.prompt,
        group=str(len(sample.identities)),
        file=f"{sample.key}.png",
        arrangement=tuple(people),
        references=tuple(
            Reference(
                name=f"{REFERENCES}/{sample.key}-{person}.png",
                file=folder / REFERENCES / f"{sample.key}-{person}.png",
                identity=sample.identities[person],
                other=folder / REFERENCES / f"{sample.key}-{person}-other.png",
            )
            for person in people
        ),
    )


def _save(picture: Image, path: Path) -> None:
    Pillow.fromarray(np.ascontiguousarray(picture)).save(path)
