"""Datasets round-trip, are reproducible, and refuse what is damaged in one line."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from umo.data.schema import Sample
from umo.data.shards import Dataset, write_dataset
from umo.errors import NotFoundError, UmoError, UsageError
from umo.files import write_manifest


def make(index: int) -> Sample:
    rng = np.random.default_rng(index)
    people = index % 3 + 1
    return Sample(
        key=f"sample-{index}",
        prompt=f"{people} people in a park",
        target=rng.integers(0, 256, (16, 16 * people, 3), np.uint8),
        references=tuple(rng.integers(0, 256, (16, 16, 3), np.uint8) for _ in range(people)),
        boxes=rng.uniform(0, 16, (people, 4)).astype(np.float32),
        identities=tuple(f"person-{index}-{i}" for i in range(people)),
        split="tune",
        source="rendered",
        licence="CC0-1.0",
        consent="generated",
    )


def rich(index: int) -> Sample:
    """A sample with everything that version 2 added."""
    sample, rng = make(index), np.random.default_rng(index)
    people = len(sample.identities)
    embeddings = rng.normal(size=(people, 8))
    return replace(
        sample,
        views=tuple(sample.references[:1] * count for count in range(people)),
        landmarks=rng.uniform(0, 16, (people, 5, 2)).astype(np.float32),
        embeddings=(embeddings / np.linalg.norm(embeddings, axis=1)[:, None]).astype(np.float32),
        quality=0.75,
    )


def samples(count: int) -> Iterator[Sample]:
    return (make(index) for index in range(count))


def assert_same(left: Sample, right: Sample) -> None:
    np.testing.assert_array_equal(left.target, right.target)
    np.testing.assert_array_equal(left.boxes, right.boxes)
    assert len(left.references) == len(right.references)
    for a, b in zip(left.references, right.references, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(left.landmarks, right.landmarks)
    np.testing.assert_array_equal(left.embeddings, right.embeddings)
    for mine, other in zip(left.views, right.views, strict=True):
        for a, b in zip(mine, other, strict=True):
            np.testing.assert_array_equal(a, b)
    plain = dict.fromkeys(("target", "boxes", "references", "views", "landmarks", "embeddings"))
    assert replace(left, **plain) == replace(right, **plain)


def test_samples_come_back_in_any_order(tmp_path: Path) -> None:
    write_dataset(samples(230), tmp_path / "data", {"note": "x"}, rows_per_shard=150)
    dataset = Dataset(tmp_path / "data")
    assert len(dataset) == 230
    assert dataset.manifest["note"] == "x"
    for index in (229, 0, 149, 150, 99, 100):
        assert_same(dataset[index], make(index))
        assert dataset.people(index) == index % 3 + 1
    assert [sample.key for sample in dataset] == [f"sample-{i}" for i in range(230)]
    with pytest.raises(IndexError):
        dataset[230]


def test_same_samples_give_the_same_digest(tmp_path: Path) -> None:
    first = write_dataset(samples(12), tmp_path / "a", {}, rows_per_shard=5)
    second = write_dataset(samples(12), tmp_path / "b", {"other": "facts"}, rows_per_shard=5)
    assert first == second == Dataset(tmp_path / "a").digest
    assert write_dataset(samples(11), tmp_path / "c", {}, rows_per_shard=5) != first


def test_a_failing_source_leaves_the_old_dataset(tmp_path: Path) -> None:
    before = write_dataset(samples(3), tmp_path / "data", {})

    def broken() -> Iterator[Sample]:
        yield from samples(4)
        raise UmoError("the renderer stopped")

    with pytest.raises(UmoError, match="the renderer stopped"):
        write_dataset(broken(), tmp_path / "data", {})
    assert Dataset(tmp_path / "data").digest == before
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_wrong_samples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no samples"):
        write_dataset([], tmp_path / "data", {})
    with pytest.raises(UsageError, match="two samples have the key 'sample-1'"):
        write_dataset([make(1), make(1)], tmp_path / "data", {})
    with pytest.raises(UsageError, match="2 references, 2 boxes and 1 identities"):
        write_dataset([replace(make(1), identities=("a",))], tmp_path / "data", {})
    assert not (tmp_path / "data").exists()


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="has no manifest"):
        Dataset(tmp_path)
    (tmp_path / "lora").mkdir()
    write_manifest(tmp_path / "lora", {"kind": "lora"})
    with pytest.raises(UsageError, match="holds a 'lora', not a 'dataset'"):
        Dataset(tmp_path / "lora")


def test_a_missing_or_cut_shard_is_one_line(tmp_path: Path) -> None:
    write_dataset(samples(20), tmp_path / "data", {}, rows_per_shard=10)
    shard = tmp_path / "data" / "shard-00001.parquet"
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 2])
    with pytest.raises(UmoError, match=r"shard-00001.parquet is damaged or missing") as raised:
        Dataset(tmp_path / "data")
    assert "\n" not in str(raised.value)
    shard.unlink()
    with pytest.raises(UmoError, match=r"shard-00001.parquet is damaged or missing"):
        Dataset(tmp_path / "data")


def test_a_flipped_byte_is_found_when_read(tmp_path: Path) -> None:
    write_dataset(samples(20), tmp_path / "data", {})
    shard = tmp_path / "data" / "shard-00000.parquet"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0xFF
    shard.write_bytes(content)
    dataset = Dataset(tmp_path / "data")
    with pytest.raises(UmoError, match=r"shard-00000.parquet is damaged"):
        list(dataset)


def test_an_unreadable_picture_names_its_sample(tmp_path: Path) -> None:
    write_dataset(samples(3), tmp_path / "data", {})
    shard = tmp_path / "data" / "shard-00000.parquet"
    table = pq.read_table(shard)
    rows = table.to_pylist()
    rows[1]["references"][0] = b"not a picture"
    pq.write_table(type(table).from_pylist(rows, table.schema), shard)
    dataset = Dataset(tmp_path / "data")
    assert_same(dataset[0], make(0))
    with pytest.raises(UmoError, match="sample 'sample-1' has an unreadable picture") as raised:
        dataset[1]
    assert "\n" not in str(raised.value)


def test_a_wrong_count_is_refused(tmp_path: Path) -> None:
    write_dataset(samples(3), tmp_path / "data", {})
    manifest = tmp_path / "data" / "manifest.json"
    facts = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**facts, "samples": 4}))
    with pytest.raises(UmoError, match="holds 3 samples, its manifest says 4"):
        Dataset(tmp_path / "data")


PACK = {"face_pack": {"name": "open", "digest": "0" * 64}}


def test_views_landmarks_embeddings_and_quality_come_back(tmp_path: Path) -> None:
    write_dataset([make(0), *map(rich, range(1, 6))], tmp_path / "data", PACK)
    dataset = Dataset(tmp_path / "data")
    assert_same(dataset[0], make(0))
    for index in range(1, 6):
        assert_same(dataset[index], rich(index))


def test_the_manifest_says_what_a_dataset_holds(tmp_path: Path) -> None:
    write_dataset([make(0), *map(rich, range(1, 6))], tmp_path / "data", PACK)
    manifest = Dataset(tmp_path / "data").manifest
    assert manifest["schema"] == 2
    statistics = manifest["statistics"]
    assert statistics.pop("picture_bytes") > 0
    assert statistics == {
        "samples": 6,
        "identities": 12,
        "views": 1 + 3 + 1 + 3,
        "people": {"1": 2, "2": 2, "3": 2},
        "size": {"16x16": 2, "32x16": 2, "48x16": 2},
        "quality": {"0.7": 5},
        "split": {"tune": 6},
        "source": {"rendered": 6},
        "licence": {"CC0-1.0": 6},
        "consent": {"generated": 6},
        "with": {"landmarks": 5, "embeddings": 5, "quality": 5},
    }


def test_only_the_most_frequent_sizes_are_counted_one_by_one(tmp_path: Path) -> None:
    targets = [np.zeros((16, 16 + index // 2, 3), np.uint8) for index in range(60)]
    many = [replace(make(index), target=target) for index, target in enumerate(targets)]
    write_dataset(many, tmp_path / "data", {})
    sizes = Dataset(tmp_path / "data").manifest["statistics"]["size"]
    assert len(sizes) == 21
    assert (sizes["others"], sum(sizes.values())) == (20, 60)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"identities": ("a", "a")}, "names a person twice: a, a"),
        ({"views": ((),)}, "views of 1, not 2"),
        ({"landmarks": np.zeros((2, 4, 2))}, r"landmarks of shape \(2, 4, 2\), not \(2, 5, 2\)"),
        ({"embeddings": np.zeros((1, 8))}, r"embeddings of shape \(1, 8\), not \(2, None\)"),
        ({"boxes": np.full((2, 4), np.nan)}, "boxes that are not finite"),
    ],
)
def test_what_stands_not_once_for_each_person_is_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        write_dataset([replace(rich(1), **changes)], tmp_path / "data", PACK)


def test_embeddings_of_nobody_knows_whom_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no face_pack is named for the embeddings"):
        write_dataset([rich(1)], tmp_path / "data", {})


NEW = ("views", "landmarks", "embeddings", "quality")


def test_version_1_is_read_and_a_later_one_refused(tmp_path: Path) -> None:
    write_dataset(samples(3), tmp_path / "data", {})
    shard, manifest = tmp_path / "data/shard-00000.parquet", tmp_path / "data/manifest.json"
    pq.write_table(pq.read_table(shard).drop(list(NEW)), shard)
    facts = json.loads(manifest.read_text())
    del facts["schema"]
    manifest.write_text(json.dumps(facts))
    assert_same(Dataset(tmp_path / "data")[2], make(2))

    manifest.write_text(json.dumps({**facts, "schema": 3}))
    with pytest.raises(UsageError, match=r"has schema 3, this version of umo reads \(1, 2\)"):
        Dataset(tmp_path / "data")
