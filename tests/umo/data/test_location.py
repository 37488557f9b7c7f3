"""Datasets on S3 are those of a disk; what cannot be reached is one line."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from services.tiny_training import make_sample
from umo.data.loader import Loader
from umo.data.shards import Dataset, join_datasets, write_dataset
from umo.errors import NotFoundError, UmoError, UsageError

if TYPE_CHECKING:
    from services.s3 import S3


@pytest.fixture(scope="module")
def made(s3: S3) -> str:
    return s3.create("datasets")


@pytest.fixture
def bucket(made: str, s3: S3, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return made


def test_a_dataset_on_s3_is_that_of_a_disk(bucket: str, tmp_path: Path) -> None:
    samples = [make_sample(index, 2) for index in range(9)]
    here = write_dataset(samples, tmp_path / "data", {"note": "x"}, rows_per_shard=4)
    there = write_dataset(samples, f"{bucket}/data", {"note": "x"}, rows_per_shard=4)
    local, remote = Dataset(tmp_path / "data"), Dataset(f"{bucket}/data")
    assert here == there == remote.digest
    assert local.manifest == remote.manifest
    for one, other in zip(local, remote, strict=True):
        np.testing.assert_array_equal(one.target, other.target)
    mine, theirs = (
        [[sample.key for sample in batch] for _, batch in islice(Loader(name, batch=2, seed=0), 12)]
        for name in (tmp_path / "data", f"{bucket}/data")
    )
    assert mine == theirs


def test_a_smaller_dataset_leaves_no_shard_of_the_larger_one(bucket: str, s3: S3) -> None:
    place = f"{bucket}/smaller"
    write_dataset([make_sample(i, 2) for i in range(5)], place, {}, rows_per_shard=2)
    write_dataset([make_sample(0, 2)], place, {}, rows_per_shard=2)
    found = s3.client.list_objects_v2(Bucket="datasets", Prefix="smaller")["Contents"]
    names = [one["Key"] for one in found if one["Size"]]
    assert names == ["smaller/manifest.json", "smaller/shard-00000.parquet"]
    assert join_datasets([Dataset(place)], f"{bucket}/copy", {}) == Dataset(place).digest


def test_what_is_not_there_or_not_ours_is_one_line(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotFoundError, match=r"s3://datasets/none has no manifest.json"):
        Dataset(f"{bucket}/none")
    with pytest.raises(UsageError, match="no dataset at 'gs://bucket/data'"):
        Dataset("gs://bucket/data")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(UmoError, match="s3://datasets/none cannot be reached") as raised:
        write_dataset([replace(make_sample(0, 1))], f"{bucket}/none", {})
    assert "\n" not in str(raised.value)
    assert raised.value.retryable
