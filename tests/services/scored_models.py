"""Scored benchmarks in small: folders as `umo evaluate` leaves them, with made-up cosines."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from umo.files import write_manifest

TILE = 64
PEOPLE = (1, 2, 2, 3, 3, 0)
"""Asked for by each item."""
CELLS = 4
"""Pictures of each item, a grid of 2 x 2."""
NAMES = ("anna", "ben", "carl", "dora")


def entry(
    key: str,
    cosines: Sequence[Any],
    *,
    identities: Sequence[str] | None = None,
    reward: Sequence[Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """An item whose pictures have these cosines `[M][N]`; faces stand side by side.

    An error, a text, may stand in place of a picture's cosines.
    """
    people = next((len(matrix) for matrix in cosines if not isinstance(matrix, str)), 0)
    identities = identities or [NAMES[n] for n in range(people)]
    pictures = []
    for number, matrix in enumerate(cosines):
        picture: dict[str, Any] = {"name": f"{key}.png#{number}", "error": None}
        if isinstance(matrix, str):
            picture["error"] = matrix
        else:
            faces = len(matrix[0]) if len(matrix) else 0
            picture["boxes"] = [[16 * n, 8, 16 * n + 12, 24] for n in range(faces)]
            by_reward = matrix if reward is None else reward[number]
            picture["similarity"] = {"judge": list(matrix), "reward": list(by_reward)}
            picture["measures"] = {}
        pictures.append(picture)
    return {
        "key": key,
        "prompt": f"{people} people | in a <park>\n",
        "group": str(people),
        "references": [{"name": f"{who}.png", "identity": who} for who in identities],
        "pictures": pictures,
        **more,
    }


def write_scored(folder: Path, model: str, items: Sequence[Any], **changes: Any) -> Path:
    """A folder with `scores.json` and manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        "benchmark": {
            "name": "xversebench-multi",
            "version": "0" * 64,
            "items": len(PEOPLE),
            "pictures": CELLS,
        },
        "model": model,
        "pack": "open",
        "embedders": ["judge", "reward"],
        "items": list(items),
        "same": {"anna": 0.6, "ben": 0.5},
        "failures": [],
    }
    (folder / "scores.json").write_text(json.dumps(values | changes))
    write_manifest(folder, {"kind": "scores"})
    return folder


def random_items(level: float, seed: int) -> list[dict[str, Any]]:
    """Items of a model whose matched cosines are about `level`; faces are lost and added."""
    rng = np.random.default_rng(seed)
    items = []
    for number, people in enumerate(PEOPLE):
        pictures = []
        for _ in range(CELLS):
            faces = max(people + int(rng.integers(-1, 2)), 0)
            matrix = rng.uniform(-0.2, 0.3, size=(people, faces))
            for person in range(min(people, faces)):
                matrix[person, (person + int(rng.random() < 0.2)) % faces] += level
            pictures.append(matrix.tolist())
        arrangement = {"arrangement": list(range(people))} if number % 2 else {}
        items.append(entry(f"item-{number}", pictures, **arrangement))
    return items


def write_pictures(scores: Path, seed: int) -> None:
    """`pictures/LABEL` and `benchmark` for the folder `scores/LABEL`."""
    rng = np.random.default_rng(seed)
    folder = scores.parents[1]
    for below, names, side in (
        (f"pictures/{scores.name}", [f"item-{n}" for n in range(len(PEOPLE))], 2 * TILE),
        ("benchmark", NAMES, TILE),
    ):
        (folder / below).mkdir(parents=True, exist_ok=True)
        for name in names:
            colours = rng.integers(60, 255, size=(2, 2, 3), dtype=np.uint8)
            Pillow.fromarray(colours).resize((side, side), Pillow.Resampling.NEAREST).save(
                folder / below / f"{name}.png"
            )
