"""Painting is resumable: what is there stays, what is missing comes, and shares make a whole."""

from collections.abc import Callable
from pathlib import Path

import pytest

from services.small_benchmark import Small
from umo.bases.embedded import tiny
from umo.bases.flux_reference import FluxReference
from umo.benchmarks.painting import PAINTED, PaintingConfig, paint_missing
from umo.benchmarks.pictures import read_cells
from umo.errors import DiffersError, UsageError

CONFIG = PaintingConfig(steps=1, batch=4)
Paint = Callable[..., None]


@pytest.fixture(scope="module")
def base() -> FluxReference:
    return tiny(0)


@pytest.fixture
def paint(small: Small, base: FluxReference) -> Paint:
    benchmark = small.read()

    def run(folder: Path, share: slice = slice(None), config: PaintingConfig = CONFIG) -> None:
        paint_missing(
            benchmark,
            benchmark.items[share],
            base,
            weights="",
            folder=folder,
            config=config,
            progress=lambda facts: None,
        )

    return run


def painted(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


@pytest.fixture
def whole(paint: Paint, tmp_path: Path) -> Path:
    paint(tmp_path / "whole")
    return tmp_path / "whole"


def test_items_without_their_references_are_not_painted(whole: Path) -> None:
    assert sorted(painted(whole)) == [
        "0_A_man_and_a_boy._.png",
        "1_Three_people_in_a_bar_and_or_in_a_very,_.png",
    ]
    cells = read_cells((whole / "0_A_man_and_a_boy._.png").read_bytes(), 2)
    assert [cell.shape for cell in cells] == [(96, 192, 3)] * 4
    assert len({cell.tobytes() for cell in cells}) == 4, "each cell has a seed of its own"


def test_only_what_is_missing_is_painted(whole: Path, paint: Paint) -> None:
    before = painted(whole)
    kept = whole / "1_Three_people_in_a_bar_and_or_in_a_very,_.png"
    (whole / "0_A_man_and_a_boy._.png").unlink()
    (whole / ".0_A_man_and_a_boy._.png.killed").write_bytes(b"half a picture")
    written = kept.stat().st_mtime_ns
    paint(whole)
    assert painted(whole) == before
    assert kept.stat().st_mtime_ns == written


def test_shares_and_batches_make_the_whole(whole: Path, paint: Paint, tmp_path: Path) -> None:
    for share in range(4):
        paint(tmp_path / "shares", slice(share, None, 4))
    assert painted(tmp_path / "shares") == painted(whole)


def test_another_models_pictures_are_refused(whole: Path, paint: Paint) -> None:
    with pytest.raises(DiffersError, match="another model, settings or version"):
        paint(whole, config=PaintingConfig(steps=2))
    assert (whole / PAINTED).is_file()


@pytest.mark.parametrize("name", ["steps", "side", "batch"])
def test_settings_below_one(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} is 0"):
        PaintingConfig(**{name: 0})
