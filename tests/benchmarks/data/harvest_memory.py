"""Peak memory of a harvest of COUNT small photos: `python harvest_memory.py COUNT FOLDER`.

A harvest's memory has two parts: the networks and one batch, which are the same for any number of
photos, and what is kept of every photo. To see the second in minutes, the networks are replaced by
one that names the same box as a face in every picture and embeds it by its colours; all else,
from reading to the report, is the real thing.
"""

import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from PIL import Image as Pillow
from torch import Tensor, nn

from umo.errors import UsageError
from umo.faces.detect import Faces
from umo.faces.embed import FaceEmbedder
from umo.faces.packs import ARCFACE_TEMPLATE, FacePack
from umo.harvest import harvest
from umo.harvest.sources import Source
from umo.steps import harvest as step

DIM, CELLS, SIDE, PEOPLE = 512, 8, 96, 400


class OneFace:
    """Finds one face, always at the same place."""

    def detect(self, images: Tensor) -> list[Faces]:
        landmarks = torch.tensor(ARCFACE_TEMPLATE) * 60 / 112 + 18
        face = Faces(
            boxes=torch.tensor([[18.0, 18.0, 78.0, 78.0]]),
            landmarks=landmarks[None],
            scores=torch.ones(1),
        )
        return [face for _ in images]


class Colours(nn.Module):
    """Embeds a face by the colours of 8 x 8 cells, rotated at random into 512 numbers."""

    def __init__(self) -> None:
        super().__init__()
        mix = torch.randn(3 * CELLS * CELLS, DIM, generator=torch.Generator().manual_seed(0))
        self.register_buffer("mix", mix)

    def forward(self, crops: Tensor) -> Tensor:
        cells = nn.functional.adaptive_avg_pool2d(crops, CELLS).flatten(1)
        return (cells - cells.mean(dim=1, keepdim=True)) @ self.mix


def light_pack(name: str = "light") -> FacePack:
    embedder = FaceEmbedder(
        Colours(),
        size=112,
        template=torch.tensor(ARCFACE_TEMPLATE),
        mean=torch.zeros(DIM),
        directions=torch.zeros(0, DIM),
    )
    return FacePack(
        name=name,
        digest="light",
        detector=OneFace(),
        reward=embedder,
        judge=embedder,
        licences={},
        commercial=True,
    )


def write_photos(folder: Path, count: int) -> None:
    """Photos of 400 patterns that stand for people, each time with other noise."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    cells = rng.integers(20, 236, (PEOPLE, CELLS, CELLS, 3)).astype(np.uint8)
    noise = rng.normal(0, 12, (SIDE + 64, SIDE + 64, 1)).astype(np.float32)
    for number in range(count):
        small = Pillow.fromarray(cells[number % PEOPLE])
        pattern = np.array(small.resize((SIDE, SIDE), Pillow.Resampling.BICUBIC))
        x, y = rng.integers(0, 64, 2)
        pixels = (pattern + noise[y : y + SIDE, x : x + SIDE]).clip(0, 255).astype(np.uint8)
        Pillow.fromarray(pixels).save(folder / f"{number:06d}.jpg", quality=85)


def peak() -> float:
    """Most MiB that this process ever had in memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def follow(facts: dict[str, Any]) -> None:
    """Say on stderr how much memory was needed so far."""
    print(f"{facts['done']} of {facts['total']} units: {peak():.0f} MiB", file=sys.stderr)


def measure(count: int, folder: Path) -> dict[str, float]:
    """Harvest `count` photos: MiB at the start and at most, and seconds of the processor."""
    torch.set_num_threads(1)
    write_photos(folder / "photos", count)
    harvest.load_pack = step.load_pack = light_pack
    before, start = psutil.Process().memory_info().rss / 2**20, time.process_time()
    source = Source(kind="photos", folder=folder / "photos", licence="CC0-1.0", consent="nobody")
    with suppress(UsageError):  # these photos show one person each
        step.run(harvest.HarvestConfig(), [source], folder=folder / "out", progress=follow)
    return {
        "photos": count,
        "before_mib": round(before, 1),
        "peak_mib": round(peak(), 1),
        "processor_seconds": round(time.process_time() - start, 1),
    }


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), Path(sys.argv[2]))))
