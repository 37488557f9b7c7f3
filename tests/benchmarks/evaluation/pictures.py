"""A made-up set to score: people of `tests/golden/people.webp` pasted into noise, 2 x 2 a file."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

PEOPLE = Path(__file__).parents[2] / "golden/people.webp"
TILE = 96
MOST = 6
"""People in a picture; items ask for one to so many, in turns."""


def write_set(folder: Path, *, items: int, side: int) -> tuple[Path, Path, Path]:
    """Item file, folder of references and folder of pictures of a set in XVerseBench's form.

    Args:
        folder: Where to.
        items: How many; they ask for one to six people, in turns.
        side: Of a picture, px.
    """
    people = portraits()
    (folder / "references/human").mkdir(parents=True)
    (folder / "pictures").mkdir()
    for person, (reference, _) in enumerate(people):
        name = folder / f"references/human/{person:02d}_person.jpg"
        reference.resize((400, 400), Image.Resampling.LANCZOS).save(name, quality=95)
    entries = []
    for index in range(items):
        rng = np.random.default_rng(index)
        count = index % MOST + 1
        chosen = rng.choice(len(people), count, replace=False).tolist()
        grid = Image.new("RGB", (2 * side, 2 * side))
        for cell in range(4):
            shown = rng.permutation(chosen)[: count - (cell == 3)]
            picture = scene([people[person][1] for person in shown], side, rng)
            grid.paste(picture, (cell % 2 * side, cell // 2 * side))
        grid.save(folder / f"pictures/{index}_people.png", compress_level=1)
        sources = [{"image_path": f"assets/XVerseBench/human/{n:02d}_person.jpg"} for n in chosen]
        entries.append(
            {"index": index, "prompt": "people", "modulation": [{"src_inputs": sources}]}
        )
    (folder / "items.json").write_text(json.dumps(entries))
    return folder / "items.json", folder / "references", folder / "pictures"


def portraits() -> list[tuple[Image.Image, Image.Image]]:
    """Two views of each person, 96 x 96."""
    with Image.open(PEOPLE) as opened:
        sheet = opened.convert("RGB")
    return [
        (sheet.crop((x, 0, x + TILE, TILE)), sheet.crop((x, TILE, x + TILE, 2 * TILE)))
        for x in range(0, sheet.width, TILE)
    ]


def scene(faces: list[Image.Image], side: int, rng: np.random.Generator) -> Image.Image:
    """Faces side by side, each in its sixth of a picture, on a smooth ground with some noise."""
    ground = Image.fromarray(rng.integers(60, 200, (6, 6, 3), np.uint8))
    pixels = np.asarray(ground.resize((side, side), Image.Resampling.BICUBIC)).astype(int)
    noisy = np.clip(pixels + rng.integers(-6, 7, pixels.shape), 0, 255).astype(np.uint8)
    picture = Image.fromarray(noisy)
    width = side // MOST
    for place, face in enumerate(faces):
        size = int(width * rng.uniform(0.8, 0.95))
        top = int(rng.integers(side // 8, side - size))
        picture.paste(face.resize((size, size), Image.Resampling.LANCZOS), (place * width, top))
    return picture
