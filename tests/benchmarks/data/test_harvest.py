"""How fast a harvest is, part by part, and that its memory does not grow with the photos."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from services.footage import scene, write_photos
from umo.faces.packs import load_pack
from umo.harvest.harvest import HarvestConfig, work_shard
from umo.harvest.look import align_faces, detect, embed
from umo.harvest.read import read_picture
from umo.harvest.sources import Source
from umo.steps.journal import ignore

PHOTOS = 24
LEAST_RATIO = 0.6
MEMORY = Path(__file__).parent / "harvest_memory.py"


def processor(work: Callable[[], object]) -> float:
    """Seconds of the processor, which other programs of the machine do not change much."""
    start = time.process_time()
    work()
    return time.process_time() - start


def test_a_harvest_costs_little_more_than_its_networks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, pack = HarvestConfig(), load_pack("open")
    photos = [scene([n % 5, 5 + n % 3], [0.1, -0.1], "in a park", seed=n) for n in range(PHOTOS)]
    write_photos(tmp_path / "photos", photos)
    paths = sorted((tmp_path / "photos").iterdir())
    source = Source(kind="photos", folder=tmp_path / "photos", licence="CC0-1.0", consent="nobody")

    def decoded() -> list[object]:
        return [read_picture(path, config.units.read) for path in paths]

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    batch = config.units.look.batch
    starts = range(0, PHOTOS, batch)
    detect(pack, photos[:batch], 640)
    alone = {"decode": processor(decoded)}
    alone["detect"] = processor(
        lambda: [detect(pack, photos[start : start + batch], 640) for start in starts]
    )
    found = [
        faces for start in starts for faces in detect(pack, photos[start : start + batch], 640)
    ]
    crops = torch.cat(
        [align_faces(p, faces, pack.reward) for p, faces in zip(photos, found, strict=True)]
    )
    alone["embed"] = processor(
        lambda: [embed(pack.reward, part) for part in crops.split(2 * batch)]
    )
    seconds: dict[str, float] = {}
    loading = processor(lambda: load_pack("open"))
    whole = processor(
        lambda: seconds.update(work_shard(config, [source], tmp_path / "work", progress=ignore))
    )
    torch.set_num_threads(threads)
    ratio = sum(alone.values()) / (whole - loading)
    with capsys.disabled():
        print(f"\nharvest: {PHOTOS / (whole - loading):.1f} photos a second and core", end="")
        print(f", {len(crops)} faces; ratio to its parts alone {ratio:.2f}")
        print("alone:", {part: f"{1000 * spent / PHOTOS:.1f} ms" for part, spent in alone.items()})
        print("inside:", {p: f"{1000 * spent / PHOTOS:.1f} ms" for p, spent in seconds.items()})
    assert ratio >= LEAST_RATIO


def measured(count: int, folder: Path) -> dict[str, float]:
    command = [sys.executable, str(MEMORY), str(count), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_memory_does_not_grow_with_the_photos(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few, many = measured(200, tmp_path / "few"), measured(1000, tmp_path / "many")
    with capsys.disabled():
        print(f"\nharvest: {few['peak_mib']:.0f} MiB for 200, {many['peak_mib']:.0f} for 1000")
    assert many["peak_mib"] < 1.1 * few["peak_mib"]
