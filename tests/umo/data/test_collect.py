"""Datasets are merged, split and balanced without a sample lost, twice, or in the wrong place."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from services.drawn_samples import FACE_PACK, drawn
from umo.data.check import check
from umo.data.collect import FORGOTTEN, balance, hashed, merge, split
from umo.data.schema import Sample
from umo.data.shards import Dataset, write_dataset
from umo.errors import DeniedError, UsageError
from umo.files import read_manifest, write_manifest

EMPTY = np.zeros((0, 4), np.float32)


def write(folder: Path, *samples: Sample, **facts: Any) -> Path:
    write_dataset(samples, folder, {**FACE_PACK, **facts})
    return folder


def keys(folder: Path) -> list[str]:
    return [str(key) for key in Dataset(folder).column("key")]


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return write(tmp_path / "first", drawn("1", "ann", "bob"), drawn("2", "cid"))


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return write(tmp_path / "second", drawn("3", "ann", "dan"))


def test_a_merged_dataset_is_what_one_would_have_written(
    tmp_path: Path, first: Path, second: Path
) -> None:
    whole = write(tmp_path / "whole", *Dataset(first), *Dataset(second))
    digest = merge([first, second], tmp_path / "merged")
    assert digest == Dataset(whole).digest
    facts = read_manifest(tmp_path / "merged", verify=True)
    assert [one["samples"] for one in facts["merged"]] == [2, 1]
    assert facts["statistics"] == read_manifest(whole)["statistics"]
    assert check([tmp_path / "merged"]) == []

    assert merge([first, second], first) == digest
    assert keys(first) == ["1", "2", "3"]


def test_what_does_not_belong_together_is_refused(
    tmp_path: Path, first: Path, second: Path
) -> None:
    def refused(error: type[Exception], message: str, *others: Path) -> None:
        with pytest.raises(error, match=message):
            merge([first, *others], tmp_path / "merged")
        assert not (tmp_path / "merged").exists()

    again = write(tmp_path / "again", drawn("2", "eve"))
    refused(UsageError, r"the key '2' is in .*first and in .*again", second, again)
    moved = write(tmp_path / "moved", drawn("5", "bob", split="held-out"))
    refused(UsageError, "identity 'bob' in held-out, which is in tune too", moved)
    owned = write(tmp_path / "owned", drawn("6", "eve", licence="proprietary"))
    refused(UsageError, r"first has licences CC0-1.0, .*owned has proprietary", owned)
    assert merge([first, owned], tmp_path / "mixed", mixed_licences=True)
    other = {"face_pack": {"name": "other", "digest": "2" * 64}}
    judged = write(tmp_path / "judged", drawn("7", "eve"), **other)
    refused(UsageError, f"face pack {'1' * 64}, .*judged has {'2' * 64}", judged)
    proof = [{"identity": hashed("ann"), "before": {}, "after": {}}]
    without = write(tmp_path / "without", drawn("8", "eve"), **{FORGOTTEN: proof})
    refused(DeniedError, r"first holds identity 'ann', which was deleted from .*without", without)
    assert merge([without, write(tmp_path / "new", drawn("9", "fay"))], tmp_path / "kept")
    assert read_manifest(tmp_path / "kept")[FORGOTTEN] == proof


def test_version_1_is_merged_alone_and_is_new_then(tmp_path: Path, first: Path) -> None:
    old = write(tmp_path / "old", drawn("5", "eve"))
    shard = old / "shard-00000.parquet"
    columns = ["views", "landmarks", "embeddings", "quality", "sizes"]
    pq.write_table(pq.read_table(shard).drop(columns), shard)
    facts = read_manifest(old)
    del facts["schema"]
    write_manifest(old, facts)
    with pytest.raises(UsageError, match=r"first has schema 2, .*old has 1"):
        merge([first, old], tmp_path / "merged")
    merge([old], tmp_path / "new")
    assert check([old, tmp_path / "new"]) == []
    assert Dataset(tmp_path / "new").column("sizes") == [[32, 32, 32, 32]]
    merge([first, tmp_path / "new"], tmp_path / "merged")
    assert keys(tmp_path / "merged") == ["1", "2", "5"]


@pytest.fixture
def casts(tmp_path: Path) -> Path:
    """Ten casts of three people, four pictures of each."""
    samples = [
        drawn(f"{cast}-{scene}", f"{cast}-a", f"{cast}-{'bc'[scene % 2]}")
        for cast in range(10)
        for scene in range(4)
    ]
    return write(tmp_path / "casts", *samples)


def test_splits_share_nobody_and_lose_nothing(tmp_path: Path, casts: Path) -> None:
    shares = {"tune": 0.7, "held-out": 0.3}
    split(casts, tmp_path / "one", shares, seed=1, cut=False)
    parts = [tmp_path / "one" / name for name in shares]
    assert check(parts) == []
    assert sorted(keys(parts[0]) + keys(parts[1])) == sorted(keys(casts))
    assert [len(Dataset(part)) for part in parts] == [28, 12]
    split(casts, tmp_path / "two", shares, seed=1, cut=False)
    assert read_manifest(tmp_path / "two/tune") == read_manifest(parts[0])
    split(casts, tmp_path / "two", shares, seed=2, cut=False)
    assert read_manifest(tmp_path / "two/tune") != read_manifest(parts[0])


def test_people_who_all_hang_together_are_cut_apart_when_asked(tmp_path: Path) -> None:
    ring = [drawn(f"{i}", f"{i}", f"{(i + 1) % 40}") for i in range(40)]
    folder = write(tmp_path / "ring", *ring)
    shares = {"tune": 0.5, "held-out": 0.5}
    with pytest.raises(UsageError, match="'held-out' gets no sample: 40 of 40 samples hang"):
        split(folder, tmp_path / "out", shares, seed=0, cut=False)
    split(folder, tmp_path / "out", shares, seed=0, cut=True)
    parts = [tmp_path / "out" / name for name in shares]
    assert check(parts) == []
    left_out = read_manifest(parts[0])["left_out"]
    assert left_out > 0
    assert sum(len(Dataset(part)) for part in parts) == 40 - left_out


def test_numbers_of_people_are_balanced(tmp_path: Path) -> None:
    samples = [drawn(f"{i}", *(f"{i}-{n}" for n in range(2 + (i % 4 == 0)))) for i in range(40)]
    folder = write(tmp_path / "data", *samples)
    digest = balance(folder, tmp_path / "even", {2: 0.5, 3: 0.5}, seed=0)
    assert read_manifest(tmp_path / "even")["statistics"]["people"] == {"2": 10, "3": 10}
    assert balance(folder, tmp_path / "again", {2: 0.5, 3: 0.5}, seed=0) == digest
    assert balance(folder, tmp_path / "again", {2: 0.5, 3: 0.5}, seed=1) != digest
    for shares, message in (
        ({4: 1.0}, "no 4 here; there are 2, 3"),
        ({2: 0.5}, "add up to 0.5"),
        ({2: 1.5, 3: -0.5}, "share of 2 is 1.5"),
    ):
        with pytest.raises(UsageError, match=message):
            balance(folder, tmp_path / "no", shares, seed=0)


def test_a_sample_of_nobody_is_left_out_and_counted(tmp_path: Path) -> None:
    nobody = replace(drawn("0", "ann"), identities=(), references=(), views=(), boxes=EMPTY)
    nobody = replace(nobody, landmarks=None, embeddings=None)
    folder = write(tmp_path / "data", nobody, drawn("1", "ann"), drawn("2", "bob"))
    split(folder, tmp_path / "out", {"tune": 0.5, "held-out": 0.5}, seed=0, cut=False)
    assert read_manifest(tmp_path / "out/tune")["left_out"] == 1
    assert [(one.kind, one.first[0]) for one in check([folder])] == [("nobody in it", "0")]


def test_check_finds_what_is_wrong(tmp_path: Path, first: Path) -> None:
    sample = drawn("7", "bob", split="held-out")
    wrong = replace(sample, prompt="", boxes=sample.boxes + 100, embeddings=sample.embeddings * 2)
    other = write(tmp_path / "wrong", wrong)
    assert {(one.kind, one.count) for one in check([first, other])} == {
        ("no prompt", 1),
        ("a face box whose middle is outside the target", 1),
        ("an embedding whose length is not 1", 1),
        ("an identity in two splits", 1),
    }
    shard = other / "shard-00000.parquet"
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    assert [one.kind for one in check([other])] == ["a changed file"]
