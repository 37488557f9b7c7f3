"""The whole harvest: right people, references from other clips, nothing lost silently."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from services.footage import RATE, Shot, scene, write_photos, write_video
from umo.config import from_mapping
from umo.data.forget import forget
from umo.data.schema import Image, Sample
from umo.data.shards import Dataset
from umo.data.share import Share
from umo.errors import DiffersError, NotFoundError, UsageError
from umo.faces.packs import load_pack
from umo.files import read_manifest
from umo.harvest.album import Album, identify
from umo.harvest.caption import load_captioner
from umo.harvest.choose import Choice, choose
from umo.harvest.harvest import HarvestConfig, unit_path, work_folder, work_shard
from umo.harvest.sources import Kind, Source, list_sources
from umo.steps import harvest as step
from umo.steps.journal import ignore

CONFIG = from_mapping(HarvestConfig, {"units": {"block": 3}})
PLAN = [
    Shot(people=(0, 1), yaws=(-0.2, 0.2), place="against a plain wall", seed=0),
    Shot(people=(2,), yaws=(0.0,), place="at sunset", seed=1, pan=6),
    Shot(people=(1, 2), yaws=(0.0, 0.3), place="by a window", seed=2, pan=-8),
    Shot(people=(0,), yaws=(0.25,), place="in a city at night", seed=3, pan=4),
    Shot(people=(0, 1, 2), yaws=(0.1, -0.2, -0.1), place="in a library", seed=4, pan=5),
    Shot(people=(2, 0), yaws=(-0.25, -0.1), place="in front of striped wallpaper", seed=6, pan=9),
]


def source(kind: Kind, folder: Path) -> Source:
    return Source(kind=kind, folder=folder, licence="CC0-1.0", consent="nobody is shown")


def tree(folder: Path) -> dict[str, str]:
    """sha256 of every file."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@dataclass(frozen=True)
class Done:
    sources: list[Source]
    folder: Path
    work: Path
    album: Album
    choices: list[Choice]

    def samples(self) -> list[Sample]:
        return list(Dataset(self.folder))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A film of three people, and what was harvested of it."""
    folder = tmp_path_factory.mktemp("film")
    write_video(folder / "videos" / "film.avi", PLAN)
    sources = [source("videos", folder / "videos")]
    step.run(CONFIG, sources, folder=folder / "out", work=folder / "work")
    listing = list_sources(sources, CONFIG.units.block)
    units = work_folder(folder / "work", CONFIG, listing, load_pack("open"))
    album = Album(listing, [unit_path(units, 0)], folder / "album")
    people = identify(album, CONFIG.clusters, CONFIG.units.alike)
    choices, _ = choose(album, people, CONFIG.choice)
    return Done(sources, folder / "out", folder / "work", album, choices)


def shot_of(seconds: float) -> int:
    return round(seconds * RATE) // PLAN[0].frames


def test_the_right_people_stand_in_every_target(film: Done) -> None:
    samples = film.samples()
    assert [len(s.identities) for s in samples].count(3) >= 2
    named: dict[int, set[str]] = {}
    for sample, choice in zip(samples, film.choices, strict=True):
        shot = PLAN[shot_of(film.album["picture.seconds"][choice.picture])]
        assert len(sample.identities) == len(shot.people)
        assert (np.diff(sample.boxes[:, 0]) > 0).all()
        for person, name in zip(shot.people, sample.identities, strict=True):
            named.setdefault(person, set()).add(name)
    assert all(len(names) == 1 for names in named.values())
    assert len(set.union(*named.values())) == 3


def test_references_are_the_same_person_in_other_clips(film: Done) -> None:
    seconds = film.album["picture.seconds"]
    owner = film.album["face.picture"]
    for choice in film.choices:
        target = shot_of(seconds[choice.picture])
        for person, picked in zip(PLAN[target].people, choice.references, strict=True):
            shots = [shot_of(seconds[owner[face]]) for face in picked]
            assert picked
            assert target not in shots
            assert len(set(shots)) == len(shots)
            for face, shot in zip(picked, shots, strict=True):
                places = np.flatnonzero(owner == owner[face])
                order = places[np.argsort(film.album["face.box"][places][:, 0])]
                assert PLAN[shot].people[list(order).index(face)] == person


def test_a_sample_says_everything(film: Done) -> None:
    manifest = Dataset(film.folder).manifest
    assert manifest["face_pack"]["name"] == "open"
    assert manifest["sources"][0]["consent"] == "nobody is shown"
    assert manifest["harvest"]["known_people"] == 3
    for sample in film.samples():
        height, width = sample.target.shape[:2]
        assert height % 16 == width % 16 == 0
        assert sample.landmarks is not None
        assert sample.embeddings is not None
        assert sample.embeddings.shape == (len(sample.boxes), 128)
        np.testing.assert_allclose(np.linalg.norm(sample.embeddings, axis=1), 1, atol=1e-5)
        inside = (sample.landmarks.mean(axis=1) - sample.boxes[:, :2]) / (
            sample.boxes[:, 2:] - sample.boxes[:, :2]
        )
        assert ((inside > 0.2) & (inside < 0.8)).all()
        assert {view.shape for view in sample.references} == {(256, 256, 3)}
        assert sample.quality is not None
        assert 0.3 < sample.quality <= 1
        assert (sample.split, sample.source) == ("tune", "harvested")
        assert (sample.licence, sample.consent) == ("CC0-1.0", "nobody is shown")
    assert {s.prompt for s in film.samples()} == {
        "A photo of two people",
        "A photo of three people",
    }


def test_the_report_shows_the_harvest(film: Done) -> None:
    report = film.folder.with_name("out-report")
    page = (report / "report.html").read_text()
    assert f"{len(film.choices)} samples of 3 people" in page
    assert page.count('alt="Target with') == len(film.choices)
    assert page.count("<svg") == 10 + 1
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert (report.stat().st_mode & 0o777) == 0o700


def test_a_deleted_person_is_gone_from_all_that_a_harvest_wrote(film: Done, tmp_path: Path) -> None:
    for name in ("out", "out-report", "work"):
        shutil.copytree(film.folder.with_name(name), tmp_path / name)
    samples = film.samples()
    gone = samples[0].identities[0]
    before = read_manifest(tmp_path / "out")["digest"]
    forget(gone, [tmp_path])
    manifest = read_manifest(tmp_path / "out", verify=True)
    assert manifest["forgotten"][0]["before"]["digest"] == before
    left = {sample.key for sample in Dataset(tmp_path / "out")}
    assert left == {sample.key for sample in samples if gone not in sample.identities}
    assert not (tmp_path / "out-report").exists()
    assert not list((tmp_path / "work").rglob("*.*"))


def test_a_second_call_finds_the_dataset(film: Done) -> None:
    before = tree(film.folder)
    done = step.run(CONFIG, film.sources, folder=film.folder, work=film.work)
    assert done.reused
    assert tree(film.folder) == before


def photos(folder: Path) -> list[Image]:
    """Two people together and alone, in eight photos."""
    scenes = [
        scene([5, 6], [0.2, -0.2], "in a park", seed=1),
        scene([5], [-0.25], "at sunset", seed=2),
        scene([6], [0.25], "by a window", seed=3),
        scene([6, 5], [0.1, 0.0], "in a library", seed=4),
        scene([5], [0.0], "on a beach", seed=5),
        scene([6], [0.0], "in a city at night", seed=6),
        scene([7, 5], [0.0, 0.1], "on a beach", seed=7),
    ]
    write_photos(folder, [*scenes, scenes[0]])
    return scenes


def test_photos_in_shards_and_processes_give_the_same_bytes(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    sources = [source("photos", tmp_path / "photos")]
    step.run(CONFIG, sources, folder=tmp_path / "one" / "out")
    assert not (tmp_path / "one" / "out-work").exists()
    shared = tmp_path / "shared"
    for shard in (1, 0):
        work_shard(CONFIG, sources, shared, share=Share(shard, 2), workers=1, progress=ignore)
    done = step.run(CONFIG, sources, folder=tmp_path / "two" / "out", work=shared)
    assert done.seconds == {}
    step.run(CONFIG, sources, folder=tmp_path / "three" / "out", workers=2)
    expected = tree(tmp_path / "one" / "out")
    assert tree(tmp_path / "two" / "out") == expected
    assert tree(tmp_path / "three" / "out") == expected
    samples = list(Dataset(tmp_path / "one" / "out"))
    assert [sample.prompt for sample in samples] == ["A photo of two people"] * 2
    rejected = Dataset(tmp_path / "one" / "out").manifest["harvest"]["pictures_rejected"]
    assert rejected["fewer than two known people"] == 5
    assert rejected["near-duplicate"] == 1


def test_a_photo_that_changed_since_it_was_looked_at_is_refused(tmp_path: Path) -> None:
    import os

    photos(tmp_path / "photos")
    sources = [source("photos", tmp_path / "photos")]
    work_shard(CONFIG, sources, tmp_path / "work", progress=ignore)
    changed = tmp_path / "photos" / "photo-00.jpg"
    status = changed.stat()
    data = bytearray(changed.read_bytes())
    data[-30] ^= 1
    changed.write_bytes(data)
    os.utime(changed, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(DiffersError, match="has sha256"):
        step.run(CONFIG, sources, folder=tmp_path / "out", work=tmp_path / "work")


def test_what_cannot_be_harvested_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no licence is named"):
        Source(kind="photos", folder=tmp_path, licence=" ", consent="yes")
    with pytest.raises(UsageError, match="no consent is named"):
        Source(kind="photos", folder=tmp_path, licence="CC0", consent="")
    with pytest.raises(NotFoundError, match="no folder"):
        list_sources([source("photos", tmp_path / "missing")], 4)
    (tmp_path / "photos").mkdir()
    with pytest.raises(UsageError, match="no file in"):
        list_sources([source("photos", tmp_path / "photos")], 4)
    Pillow.new("RGB", (200, 200)).save(tmp_path / "photos" / "black.png")
    with pytest.raises(UsageError, match="no picture has two people"):
        step.run(CONFIG, [source("photos", tmp_path / "photos")], folder=tmp_path / "out")
    assert (tmp_path / "out-report" / "report.html").is_file()
    with pytest.raises(UsageError, match="share 2 of 2"):
        Share(2, 2)


def test_captioners() -> None:
    picture = np.zeros((16, 16, 3), np.uint8)
    assert load_captioner("template")(picture, 4) == "A photo of four people"
    assert load_captioner("umo.harvest.caption:template")(picture, 9) == "A photo of 9 people"
    for name in ("nothing", "umo.nothing:x", "umo.harvest.caption:missing", "umo.harvest:__doc__"):
        with pytest.raises(UsageError):
            load_captioner(name)
