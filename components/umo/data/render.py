"""Rendered samples: scenes of one to six people who do not exist, and a picture of each alone.

Identities are numbered and never run out; each split draws from its own range, so no identity is
ever in two splits. People stand from left to right in the order of their references.
"""

import math
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from umo.data.accessories import Worn, draw_worn
from umo.data.people import Person, draw_person, draw_view
from umo.data.portrait import portray
from umo.data.scenery import PLACES, paint_place
from umo.data.schema import Image, Sample
from umo.data.shader import Light
from umo.errors import UsageError

TILE = 96
"""Height of every picture and width of one person's share of it, px."""
TOKEN = 16
"""Pictures are so many pixels wide, or a multiple of it, since bases paint in such tokens."""
MAX_PEOPLE = 6
SPLITS = {"pretrain": 0, "tune": 1, "held-out": 2}
COUNTS = ("One person", "Two people", "Three people", "Four people", "Five people", "Six people")
FORMS = ("{people} {place}", "A photo of {people} {place}", "{people} side by side {place}")
LICENCE = "CC0-1.0"


@dataclass(frozen=True, kw_only=True)
class RenderConfig:
    """What to render."""

    split: Literal["pretrain", "tune", "held-out"] = "tune"
    """Which range of identities to draw from."""
    samples: int = 256
    """How many samples."""
    people: dict[int, float] = field(default_factory=lambda: {2: 0.6, 3: 0.4})
    """Share of samples by number of people."""
    identities: int = 100_000
    """How many identities the split has; a sample draws its people from them."""
    pose: float = 0.14
    """Standard deviation of the yaw, radians."""
    drift: float = 0.0
    """Share of people whose target is not quite the person of their reference, as in pictures that
    a model made: it drifts towards another person, of the scene or a stranger."""
    likeness: float = 0.0
    """How far each person of a sample is moved towards a relative that they have in common:
    0 leaves strangers, 1 makes them one person."""
    crowd: float = 0.0
    """How far neighbours stand in front of one another: 0 gives each a tile of their own, 0.5
    leaves half of it."""
    accessories: float = 0.0
    """Probability that a person wears glasses, and that they wear a hat, drawn for each picture."""
    seed: int = 0
    """Seed of the scenes; the identities do not depend on it."""

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples is {self.samples}, it must be at least 1")
        if not self.people or not set(self.people) <= set(range(1, MAX_PEOPLE + 1)):
            raise ValueError(
                f"people has counts {sorted(self.people)}, allowed are 1 to {MAX_PEOPLE}"
            )
        if not 0 <= self.drift <= 1:
            raise ValueError(f"drift is {self.drift}, it must lie between 0 and 1")
        if not 0 <= self.likeness < 1:
            raise ValueError(f"likeness is {self.likeness}, it must be at least 0 and below 1")
        if not 0 <= self.crowd <= 0.5:
            raise ValueError(f"crowd is {self.crowd}, it must lie between 0 and 0.5")
        if not 0 <= self.accessories <= 1:
            raise ValueError(f"accessories is {self.accessories}, it must lie between 0 and 1")


def render_samples(
    config: RenderConfig, *, indices: range | None = None, workers: int = 1
) -> Iterator[Sample]:
    """Render samples in order; the pictures do not depend on the number of workers.

    Args:
        config: What to render.
        indices: Which of its samples; all by default.
        workers: How many processes render.
    """
    indices = range(config.samples) if indices is None else indices
    if workers == 1:
        for index in indices:
            yield render_sample(config, index)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(render_sample, [config] * len(indices), indices, chunksize=16)


def render_sample(config: RenderConfig, index: int) -> Sample:
    """Render the sample of one index."""
    split = SPLITS[config.split]
    rng = np.random.default_rng((config.seed, split, index))
    counts = sorted(config.people)
    shares = np.array([config.people[count] for count in counts])
    count = int(rng.choice(counts, p=shares / shares.sum()))
    numbers = [int(n) for n in rng.choice(config.identities, count, replace=False)]
    people = [person(config.split, number) for number in numbers]
    identities = [f"{config.split}-{number:06d}" for number in numbers]
    if config.likeness:
        family = int(rng.integers(config.identities))
        relative = person(config.split, family)
        people = [who.blend(relative, config.likeness) for who in people]
        identities = [f"{identity}-of-{family:06d}" for identity in identities]
    painted = [_drifted(who, people, config, rng) for who in people]
    place = str(rng.choice(list(PLACES)))
    worn = _worn(config, split, index, 2 * count)
    target, boxes = _scene(painted, place, config.pose, rng, worn[:count], config.crowd)
    references = tuple(
        _scene([who], str(rng.choice(list(PLACES))), config.pose, rng, [alone])[0]
        for who, alone in zip(people, worn[count:], strict=True)
    )
    return Sample(
        key=f"{config.split}-{config.seed}-{index:06d}",
        prompt=_prompt(count, place, rng),
        target=target,
        references=references,
        boxes=boxes,
        identities=tuple(identities),
        split=config.split,
        source="rendered",
        licence=LICENCE,
        consent="generated",
    )


def apart(sample: Sample) -> list[Sample]:
    """Cut a rendered scene into its people: a sample of each one alone, from left to right.

    Raises:
        UsageError: They stand in front of one another.
    """
    if sample.target.shape[1] != TILE * len(sample.identities):
        raise UsageError(
            f"the people of {sample.key!r} stand in front of one another",
            hint="cut scenes that were rendered with crowd: 0",
        )
    alone = []
    for number, (reference, box) in enumerate(zip(sample.references, sample.boxes, strict=True)):
        left = number * TILE
        alone.append(
            replace(
                sample,
                key=f"{sample.key}-{number}",
                prompt=recount(sample.prompt, 1),
                target=sample.target[:, left : left + TILE],
                references=(reference,),
                boxes=(box[None] - np.array([left, 0, left, 0], np.float32)).clip(0, TILE),
                identities=(sample.identities[number],),
            )
        )
    return alone


def person(split: str, number: int) -> Person:
    """The identity of a split with this number, the same in every picture."""
    return draw_person(np.random.default_rng((7_919, SPLITS[split], number)))


def _worn(config: RenderConfig, split: int, index: int, pictures: int) -> list[Worn]:
    """What people wear, drawn apart from the scenes, which are the same whatever it is."""
    rng = np.random.default_rng((config.seed, split, index, 1))
    return [draw_worn(rng, config.accessories) for _ in range(pictures)]


def _drifted(who: Person, people: list[Person], config: RenderConfig, rng: Generator) -> Person:
    if rng.random() >= config.drift:
        return who
    others = [other for other in people if other is not who]
    stranger = person(config.split, int(rng.integers(config.identities)))
    towards = others[int(rng.integers(len(others)))] if others and rng.random() < 0.5 else stranger
    return who.blend(towards, float(rng.uniform(0.25, 1.0)))


def _scene(
    people: list[Person],
    place: str,
    pose: float,
    rng: Generator,
    worn: list[Worn],
    crowd: float = 0.0,
) -> tuple[Image, NDArray[np.float32]]:
    step = TILE * (1 - crowd)
    width = TOKEN * math.ceil((TILE + step * (len(people) - 1)) / TOKEN)
    picture = paint_place(place, TILE, width, rng)
    light = _draw_light(place, rng)
    boxes = np.zeros((len(people), 4), np.float32)
    for k in rng.permutation(len(people)):
        centre = TILE / 2 + step * k + rng.uniform(-3, 3)
        portrait = portray(
            people[k],
            draw_view(rng, pose=pose),
            light,
            tile=TILE,
            width=width,
            centre=float(centre),
            size=float(rng.uniform(0.94, 1.03)),
            worn=worn[k],
        )
        picture = portrait.colour + (1 - portrait.alpha) * picture
        boxes[k] = np.clip(portrait.box, 0, (width, TILE, width, TILE))
    return (picture * 255).round().astype(np.uint8), boxes


def _draw_light(place: str, rng: Generator) -> Light:
    x, y, z = rng.normal(0, 0.5), 1.0, 0.5 + rng.normal(0, 0.2)
    length = float(np.sqrt(x * x + y * y + z * z))
    warm = {"at sunset": 0.12, "in a city at night": -0.05}.get(place, 0.0)
    warm += float(rng.normal(0, 0.02))
    dim = 0.85 if place in ("at sunset", "in a city at night") else 1.0
    return Light(
        direction=(float(x) / length, y / length, float(z) / length),
        key=dim * float(rng.uniform(0.55, 0.8)),
        ambient=dim * float(rng.uniform(0.4, 0.55)),
        tint=(1 + warm, 1.0, 1 - warm),
    )


def recount(prompt: str, people: int) -> str:
    """A renderer's prompt with another number of people."""
    said = next(words for words in COUNTS if words.lower() in prompt.lower())
    words = COUNTS[people - 1]
    return prompt.replace(said, words).replace(said.lower(), words.lower())


def _prompt(count: int, place: str, rng: Generator) -> str:
    form = str(rng.choice(FORMS[: 3 if count > 1 else 2]))
    people = COUNTS[count - 1] if form.startswith("{people}") else COUNTS[count - 1].lower()
    return form.format(people=people, place=place)
