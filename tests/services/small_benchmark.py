"""A small benchmark in XVerseBench's form: six people who do not exist, and pictures of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from umo.benchmarks.item import Benchmark
from umo.benchmarks.xversebench import read_xversebench

SHEET = Path(__file__).parents[1] / "golden" / "people.webp"
TILE = 96
WIDE = 3
"""People that a picture has room for."""
NAMES = ("00_boy", "01_man", "02_old man", "03_woman", "04_girl", "05_man")


def view(person: int, number: int) -> Image.Image:
    """One of two views of a person, 96 x 96."""
    with Image.open(SHEET) as sheet:
        box = (person * TILE, number * TILE, (person + 1) * TILE, (number + 1) * TILE)
        return sheet.convert("RGB").crop(box)


def scene(people: Sequence[int], number: int = 1) -> Image.Image:
    """People side by side on grey, each in their `number`-th view."""
    picture = Image.new("RGB", (WIDE * TILE, TILE), (120, 120, 120))
    for place, person in enumerate(people):
        picture.paste(view(person, number), (place * TILE, 0))
    return picture


def grid(cells: Sequence[Image.Image]) -> Image.Image:
    """Four pictures, row by row."""
    width, height = cells[0].size
    whole = Image.new("RGB", (2 * width, 2 * height))
    for place, cell in enumerate(cells):
        whole.paste(cell, (place % 2 * width, place // 2 * height))
    return whole


def entry(index: int, prompt: str, *references: str) -> dict[str, Any]:
    sources = [{"image_path": f"assets/XVerseBench/{name}", "caption": ""} for name in references]
    return {"index": index, "prompt": prompt, "modulation": [{"src_inputs": sources}]}


@dataclass(frozen=True)
class Small:
    """The small benchmark's files."""

    items: Path
    references: Path
    pictures: Path

    def read(self) -> Benchmark:
        return read_xversebench(self.items, self.references)


def human(*people: int) -> list[str]:
    return [f"human/{NAMES[person]}.jpg" for person in people]


ENTRIES = (
    entry(0, "A man and a boy.\n", *human(1, 0)),
    entry(1, "Three people in a bar and/or in a very, very long prompt", *human(2, 3, 4)),
    entry(2, "A girl rides a motorcycle", *human(4), "object/00_motorcycle.jpg"),
    entry(3, "A wolf", "animal/12_wolf.jpg"),
)
CELLS: dict[str, list[list[int]]] = {
    # As asked for, swapped, one lost, an extra one.
    "0_A_man_and_a_boy.\n.png": [[1, 0], [0, 1], [1], [1, 0, 5]],
    # As asked for, nobody, one of them three times, strangers.
    "1_Three_people_in_a_bar_and_or_in_a_very,_.png": [[2, 3, 4], [], [2, 2, 2], [0, 1, 5]],
    "2_A_girl_rides_a_motorcycle.png": [[4], [5], [4, 4], []],
    "3_A_wolf.png": [[], [], [], [0]],
}


def write_small(folder: Path) -> Small:
    (folder / "references/human").mkdir(parents=True)
    (folder / "pictures").mkdir()
    for person, name in enumerate(NAMES):
        view(person, 0).save(folder / f"references/human/{name}.jpg", quality=95)
    for name, cells in CELLS.items():
        grid([scene(people) for people in cells]).save(folder / "pictures" / name)
    (folder / "items.json").write_text(json.dumps(ENTRIES))
    return Small(folder / "items.json", folder / "references", folder / "pictures")


def cosines(scores: dict[str, Any], key: str, cell: int, embedder: str = "judge") -> np.ndarray:
    item = next(item for item in scores["items"] if item["key"] == key)
    picture = item["pictures"][cell]
    shape = (len(item["references"]), len(picture["boxes"]))
    return np.array(picture["similarity"][embedder], float).reshape(shape)
