"""A deleted identity is nowhere: not in a byte, not in a decoded value, also after a kill."""

import base64
import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from services.drawn_samples import FACE_PACK, drawn
from services.killed import killed_at
from services.tiny_training import TinyModel, tiny_pack
from umo.data.check import check
from umo.data.collect import FORGOTTEN, hashed, merge
from umo.data.forget import forget
from umo.data.schema import Sample
from umo.data.shards import Dataset, write_dataset
from umo.errors import DeniedError, NotFoundError
from umo.files import read_manifest, write_manifest
from umo.training.encoded import encode_once
from umo.training.parallel import World

PERSON = "anna-0017"
SAMPLES = [
    drawn("s1", PERSON, "bob"),
    drawn("s2", "bob", "cid"),
    drawn("s3", "cid", PERSON),
    drawn("s4", "anna-00178"),
]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A dataset, what was made from it, and a dataset of others with what was made from that."""
    work = tmp_path / "work"
    facts = {**FACE_PACK, "rejected": ["s0", f"of-{PERSON}", PERSON], "people": {PERSON: 2}}
    write_dataset(SAMPLES, work / "data", facts, rows_per_shard=2)
    write_dataset([drawn("t1", "eve", "bob")], work / "others", FACE_PACK)
    for name in ("data", "others"):
        encode(work / name, work / "cache")
        made = {"dataset": Dataset(work / name).digest}
        gallery(work / name, work / f"gallery-{name}", {"kind": "gallery", **made})
        gallery(
            work / name,
            work / f"scores-{name}",
            {"kind": "evaluation", "lineage": {"dataset": made and {"digest": made["dataset"]}}},
        )
        (work / f"lora-{name}").mkdir()
        write_manifest(work / f"lora-{name}", {"kind": "lora", "data": made["dataset"]})
    (work / "harvest").mkdir()
    (work / ".settings.metadata").write_text("of somebody else")
    np.save(work / "harvest/faces.npy", SAMPLES[0].embeddings[:1])
    (work / "harvest/clusters.json").write_text(json.dumps({"people": [PERSON]}))
    (work / "harvest/manifest.json").write_text('{"not": "ours"}')
    (work / "harvest/page.html").write_text(page(SAMPLES[2]))
    (work / "harvest/bob.html").write_text(page(drawn("t1", "eve", "bob")))
    return work


def encode(data: Path, cache: Path) -> None:
    encode_once(
        Dataset(data),
        TinyModel(),
        tiny_pack(),
        "reference",
        lambda line: None,
        judge=False,
        cache=cache,
        world=World(),
    )


def gallery(data: Path, folder: Path, facts: dict[str, Any]) -> None:
    folder.mkdir()
    for sample in Dataset(data):
        Image.fromarray(sample.target).resize((20, 20)).save(folder / f"{sample.key}.jpg")
    write_manifest(folder, facts)


def page(sample: Sample) -> str:
    return f'<img src="data:image/png;base64,{base64.b64encode(png(sample.target)).decode()}">'


def png(picture: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="PNG")
    return stream.getvalue()


def pictures(sample: Sample) -> Iterator[np.ndarray]:
    place = sample.identities.index(PERSON)
    yield from (sample.target, sample.references[place], *sample.views[place])


def assert_forgotten(work: Path) -> None:
    """Look at all bytes that remain, and at all values of what can be decoded."""
    gone = [sample for sample in SAMPLES if PERSON in sample.identities]
    shown = [picture for sample in gone for picture in pictures(sample)]
    numbers = [sample.embeddings[sample.identities.index(PERSON)] for sample in gone]
    encoded = [png(picture) for picture in shown]
    traces = [*encoded, *map(base64.b64encode, encoded), *(row.tobytes() for row in numbers)]
    for file in (path for path in work.rglob("*") if path.is_file()):
        content = file.read_bytes()
        assert not any(trace in content for trace in traces), file
        assert PERSON.encode() not in content.replace(b"anna-00178", b""), file
    for path in (path for path in work.rglob("manifest.json") if path.parent.name != "harvest"):
        if read_manifest(path.parent, verify=True)["kind"] != "dataset":
            continue
        for sample in Dataset(path.parent):
            assert PERSON not in sample.identities
            views = itertools.chain(*sample.views)
            for left in (sample.target, *sample.references, *views):
                assert not any(np.array_equal(left, picture) for picture in shown)
            assert not any((row == other).all() for row in numbers for other in sample.embeddings)


def names(work: Path) -> set[str]:
    return {path.name for path in work.iterdir()}


def test_nothing_of_a_person_remains_and_nothing_else_goes(work: Path) -> None:
    before = read_manifest(work / "data")
    others = read_manifest(work / "others")
    caches = {path.name for path in (work / "cache").iterdir()}
    done = {deletion.place: deletion.done for deletion in forget(PERSON, [work])}

    assert_forgotten(work)
    assert done.pop(str(work / "lora-data")) == "was tuned on it: tune again without"
    assert done.pop(str(work / "data")) == "2 of 4 samples removed"
    (cache,) = caches - {path.name for path in (work / "cache").iterdir()}
    harvest = {f"harvest/{name}" for name in ("faces.npy", "clusters.json", "page.html")}
    gone = {f"cache/{cache}", "gallery-data", "scores-data", *harvest}
    assert done == {str(work / name): "removed" for name in gone}
    assert names(work) == {
        *("data", "others", "cache", "harvest", "gallery-others", "scores-others"),
        *("lora-data", "lora-others", ".settings.metadata"),
    }
    assert read_manifest(work / "others") == others

    assert check([work / "data", work / "others"]) == []
    assert [sample.key for sample in Dataset(work / "data")] == ["s2", "s4"]
    after = read_manifest(work / "data", verify=True)
    assert after[FORGOTTEN] == [
        {
            "identity": hashed(PERSON),
            "before": {"digest": before["digest"], "samples": 4},
            "after": {"digest": after["digest"], "samples": 2},
        }
    ]
    assert after["statistics"]["identities"] == 3
    assert (after["rejected"], after["people"]) == (["s0"], {})

    assert forget(PERSON, [work / "others", work / "data"]) == []
    assert read_manifest(work / "data") == after


def test_what_was_made_of_the_old_dataset_is_found_later(work: Path) -> None:
    (work / "cache").rename(work.parent / "cache")
    forget(PERSON, [work])
    write_dataset([SAMPLES[0]], work.parent / "old", FACE_PACK)
    with pytest.raises(DeniedError, match="which was deleted from"):
        merge([work / "data", work.parent / "old"], work.parent / "merged")
    (done,) = forget(PERSON, [work / "data", work.parent / "cache"])
    assert done.done == "removed"
    assert len(list((work.parent / "cache").iterdir())) == 1


def test_a_dataset_of_nobody_else_is_empty(tmp_path: Path) -> None:
    write_dataset([drawn("s1", PERSON)], tmp_path / "data", FACE_PACK)
    forget(PERSON, [tmp_path / "data"])
    assert len(Dataset(tmp_path / "data")) == 0
    assert read_manifest(tmp_path / "data")[FORGOTTEN]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no folder"):
        forget(PERSON, [tmp_path / "none"])


def test_killed_anywhere_it_ends_the_same(tmp_path: Path) -> None:
    """Every seventh change of a file; what a kill leaves behind is found too."""

    def make(folder: Path) -> Path:
        write_dataset(SAMPLES, folder / "data", FACE_PACK, rows_per_shard=2)
        made = {"kind": "gallery", "dataset": Dataset(folder / "data").digest}
        gallery(folder / "data", folder / "gallery", made)
        return folder

    whole = make(tmp_path / "whole")
    forget(PERSON, [whole])
    expected = read_manifest(whole / "data")
    number, killed = 1, True
    while killed:
        work = make(tmp_path / f"killed-{number}")
        data = [work / "data", work / "gallery"]
        killed = killed_at(number, work, lambda data=data: forget(PERSON, data))
        forget(PERSON, [folder for folder in data if folder == data[0] or folder.exists()])
        assert_forgotten(work)
        assert read_manifest(work / "data", verify=True) == expected
        assert names(work) == {"data"}
        number += 7
    assert number > 40
