"""Photos and videos of people who do not exist, rendered for tests of the harvest."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pillow

from umo.data.people import View
from umo.data.portrait import portray
from umo.data.render import person
from umo.data.scenery import PLACES, paint_place
from umo.data.schema import Image
from umo.data.shader import Light

TILE = 160
LIGHT = Light(direction=(0.2, 1.0, 0.4), key=0.7, ambient=0.5, tint=(1.0, 1.0, 1.0))
RATE = 4.0
"""Frames a second of a video."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """People side by side, filmed by a camera that may pan."""

    people: tuple[int, ...]
    yaws: tuple[float, ...]
    place: str
    seed: int = 0
    frames: int = 8
    pan: int = 0
    """Pixels the camera moves between frames."""


def scene(
    people: Sequence[int], yaws: Sequence[float], place: str, *, seed: int = 0, tile: int = TILE
) -> Image:
    """People from left to right, `[tile, tile * n, 3]`."""
    rng = np.random.default_rng(seed)
    width = tile * len(people)
    picture = paint_place(place, tile, width, rng)
    for number, (who, yaw) in enumerate(zip(people, yaws, strict=True)):
        portrait = portray(
            person("pretrain", who),
            View(
                yaw=yaw,
                pitch=float(rng.normal(0, 0.04)),
                roll=float(rng.normal(0, 0.04)),
                expression={"expression:smile": float(rng.uniform(0, 0.9))},
            ),
            LIGHT,
            tile=tile,
            width=width,
            centre=tile * (number + 0.5),
            size=0.95,
        )
        picture = portrait.colour + (1 - portrait.alpha) * picture
    return (picture.clip(0, 1) * 255).round().astype(np.uint8)


def places(count: int) -> list[str]:
    """Names of places, as different as there are."""
    names = sorted(PLACES)
    return [names[number % len(names)] for number in range(count)]


def write_photos(folder: Path, scenes: Sequence[Image]) -> None:
    """Write scenes as JPEG photos `photo-00.jpg`, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(scenes):
        Pillow.fromarray(pixels).save(folder / f"photo-{number:02d}.jpg", quality=92)


def write_video(path: Path, shots: Sequence[Shot]) -> list[int]:
    """Write shots one after another, with hard cuts, as Motion JPEG.

    Returns:
        The shot of each frame.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = TILE + 32, 3 * TILE + 64
    codec = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), codec, RATE, (width, height))
    owner = []
    for number, shot in enumerate(shots):
        still = scene(shot.people, shot.yaws, shot.place, seed=shot.seed)
        rng = np.random.default_rng(shot.seed + 100)
        roomy = (paint_place(shot.place, height, width + 400, rng) * 255).astype(np.uint8)
        left = 200 + (width - still.shape[1]) // 2
        roomy[16 : 16 + TILE, left : left + still.shape[1]] = still
        for frame in range(shot.frames):
            start = 200 + round(shot.pan * (frame - shot.frames / 2))
            writer.write(cv2.cvtColor(roomy[:, start : start + width], cv2.COLOR_RGB2BGR))
            owner.append(number)
    writer.release()
    return owner
