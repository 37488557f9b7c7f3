"""A harvest is killed anywhere and started again: the same bytes as if nothing had happened."""

import multiprocessing
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from services.footage import Shot, scene, write_photos, write_video
from umo.config import from_mapping
from umo.harvest.harvest import HarvestConfig
from umo.harvest.sources import Source
from umo.steps import harvest

CONFIG = from_mapping(HarvestConfig, {"units": {"block": 2, "look": {"detect_side": 320}}})
FILE_EVENTS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree")
KILLS = 4


def kill_at(folder: Path, number: int) -> None:
    """SIGKILL this process at the given change of a file below `folder`; -1 counts them."""
    seen = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in FILE_EVENTS and str(arguments[0]).startswith(str(folder)):
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    torch.set_num_threads(1)
    done = harvest.run(CONFIG, sources(folder.parent), folder=folder / "out")
    (folder.parent / "changes").write_text(str(seen))
    os._exit(3 if done.reused else 0)


def sources(folder: Path) -> list[Source]:
    named = {"licence": "CC0-1.0", "consent": "nobody is shown"}
    return [
        Source(kind="photos", folder=folder / "photos", **named),
        Source(kind="videos", folder=folder / "videos", **named),
    ]


def ended(folder: Path, number: int = -1) -> int:
    folder.mkdir(exist_ok=True)
    process = multiprocessing.get_context("fork").Process(target=kill_at, args=(folder, number))
    process.start()
    process.join()
    return int(process.exitcode or 0)


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.parent.name != "out-report"
    }


def test_a_killed_harvest_ends_with_the_same_bytes(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    scenes = [
        scene([5, 6], [0.2, -0.2], "in a park", seed=1),
        scene([5], [-0.2], "at sunset", seed=2),
        scene([6], [0.25], "by a window", seed=3),
    ]
    write_photos(tmp_path / "photos", scenes)
    shots = [
        Shot(people=(6, 5), yaws=(0.0, 0.3), place="in a library", frames=4),
        Shot(people=(5,), yaws=(-0.1,), place="on a beach", frames=4, pan=6),
    ]
    write_video(tmp_path / "videos" / "film.avi", shots)
    whole = tmp_path / "whole"
    assert ended(whole) == 0
    changes = int((tmp_path / "changes").read_text())
    assert changes > 40
    expected = files(whole)
    assert {name.partition("/")[0] for name in expected} == {"out"}
    dice = random.Random(0)
    places = sorted(dice.sample(range(1, changes), KILLS))
    for number, place in enumerate(places):
        folder = tmp_path / f"killed-{number}"
        assert ended(folder, place) == -signal.SIGKILL
        again = ended(folder, dice.randrange(1, changes))
        assert again in (0, 3, -signal.SIGKILL)
        assert ended(folder) in (0, 3)
        assert files(folder) == expected, f"killed at change {place} of {changes}"
        assert sorted(path.name for path in folder.iterdir()) == ["out", "out-report"]
