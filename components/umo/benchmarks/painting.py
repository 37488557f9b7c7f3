"""Paint the pictures of a benchmark that are missing, item by item, resumable at any moment.

An item's PNG appears whole or not at all, and its pixels depend on the item, the model and the
settings only, so a run that was killed goes on where it was, and several processes or nodes may
each paint a share of the items.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow
from PIL import ImageOps
from torch import Tensor

from umo import lineage
from umo.bases.protocol import ReferenceModel, device_of
from umo.bases.references import uno_reference, uno_side
from umo.benchmarks.item import Benchmark, Item
from umo.benchmarks.pictures import read_picture, write_cells
from umo.benchmarks.score import Progress
from umo.data.render import TILE
from umo.data.schema import Image
from umo.errors import DiffersError, UsageError
from umo.files import write_text
from umo.pixels import to_bytes, to_float

PAINTED = "painted.json"


@dataclass(frozen=True, kw_only=True)
class PaintingConfig:
    """How a benchmark's pictures are painted; the defaults are UNO's for XVerseBench."""

    steps: int = 25
    """Euler steps of a picture."""
    guidance: float = 4.0
    """Guidance scale."""
    seed: int = 3407
    """Of the first picture of every item; the next ones follow."""
    side: int = 768
    """Height and width in px; the embedded base has its own."""
    batch: int = 4
    """Pictures of an item painted at a time."""

    def __post_init__(self) -> None:
        for name in ("steps", "side", "batch"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}", hint="it must be at least 1")


def paint_missing(
    benchmark: Benchmark,
    items: Sequence[Item],
    base: ReferenceModel,
    *,
    weights: str,
    folder: Path,
    config: PaintingConfig,
    progress: Progress,
) -> None:
    """Paint the items whose PNG is not there, except those of which a reference picture is missing.

    Args:
        benchmark: What the items are of.
        items: Those to paint.
        base: With the LoRA attached.
        weights: sha256 of the LoRA; empty for the base itself.
        folder: Gets `<item.file>` and `painted.json`, which says what painted them.
        config: How to paint.
        progress: Called with `phase`, `done` and `total` items.

    Raises:
        DiffersError: Another model or other settings painted what is in the folder.
    """
    made = {
        "model": lineage.identity(config, data={"weights": weights}, base=base.digest),
        "benchmark": benchmark.version,
    }
    _claim(folder / PAINTED, made)
    for done, item in enumerate(items, 1):
        there = all(reference.file.is_file() for reference in item.references)
        if there and not (folder / item.file).is_file():
            cells = paint(item, base, benchmark.grid**2, config)
            write_cells(folder / item.file, cells, benchmark.grid)
        progress({"phase": f"paint {folder.name}", "done": done, "total": len(items)})


def paint(item: Item, base: ReferenceModel, pictures: int, config: PaintingConfig) -> list[Image]:
    """Paint so many pictures `[H,W,3]` of an item."""
    from umo.training.rollout import sample

    references, (height, width) = _framed(item, base, config)
    painted: list[Image] = []
    for start in range(0, pictures, config.batch):
        seeds = [config.seed + n for n in range(start, min(start + config.batch, pictures))]
        conditioning = base.encode([item.prompt] * len(seeds), [references] * len(seeds))
        sampled = sample(
            base,
            conditioning,
            height=height,
            width=width,
            steps=config.steps,
            guidance=config.guidance,
            seeds=seeds,
        )
        painted += list(to_bytes(sampled).cpu().numpy())
    return painted


def _framed(
    item: Item, base: ReferenceModel, config: PaintingConfig
) -> tuple[list[Tensor], tuple[int, int]]:
    """References as the base takes them, and height and width of the picture."""
    pictures = [read_picture(reference.file.read_bytes()) for reference in item.references]
    people = max(len(pictures), 1)
    if base.name == "embedded":
        tile = (TILE, TILE)
        framed = [ImageOps.fit(p, tile, Pillow.Resampling.LANCZOS) for p in pictures]
        size = (TILE, people * TILE)
    else:
        framed = [uno_reference(picture, uno_side(people)) for picture in pictures]
        size = (config.side, config.side)
    device = device_of(base.transformer)
    return [to_float(torch.from_numpy(np.array(p)).to(device)) for p in framed], size


def _claim(path: Path, made: dict[str, Any]) -> None:
    """Say what paints the pictures of a folder, or refuse one that something else paints."""
    text = json.dumps(made, indent=1) + "\n"
    if not path.is_file():
        write_text(path, text)
    elif path.read_text(encoding="utf-8") != text:
        raise DiffersError(
            f"{path.parent} has pictures by another model, settings or version of umo",
            hint="give another --out, or remove that folder",
        )
