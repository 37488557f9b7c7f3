"""A dataset is encoded once: what comes from disk is what was encoded, bit for bit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.tiny_runs import CONFIG
from services.tiny_training import TinyModel
from umo.data.shards import Dataset
from umo.training.rerefl import train

JUDGED = replace(CONFIG, steps=4, judge_every=2)


class NoEncoders(TinyModel):
    """Tells whether it is asked to encode anything."""

    def encode_images(self, images: Any) -> Any:
        raise AssertionError("encoded again")


@pytest.mark.parametrize("config", [CONFIG, JUDGED])
def test_from_disk_the_weights_are_the_same(
    pack: Any, dataset: Dataset, tmp_path: Path, config: Any
) -> None:
    def tune(name: str, **others: Any) -> str:
        given = {"base": TinyModel(), "dataset": dataset, "pack": pack, **others}
        return str(train(config, out=tmp_path / name, **given)["digest"])

    plain, cache = tune("plain"), tmp_path / "cache"
    assert tune("first", cache=cache) == plain
    assert tune("second", cache=cache, base=NoEncoders()) == plain
    (folder,) = cache.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["groups.safetensors", "manifest.json"]


def test_a_damaged_one_is_encoded_again(
    pack: Any, dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "cache"
    given = {"dataset": dataset, "pack": pack, "cache": cache}
    first = train(CONFIG, base=TinyModel(), out=tmp_path / "first", **given)
    (tensors,) = cache.glob("*/groups.safetensors")
    tensors.write_bytes(tensors.read_bytes()[:-1] + b"x")
    again = train(CONFIG, base=TinyModel(), out=tmp_path / "again", **given)
    assert again["digest"] == first["digest"]
    assert "is encoded again" in caplog.text


def test_another_base_has_its_own(pack: Any, dataset: Dataset, tmp_path: Path) -> None:
    given = {"dataset": dataset, "pack": pack, "cache": tmp_path / "cache"}
    for digest in ("0" * 64, "1" * 64):
        base = TinyModel()
        base.digest = digest
        train(replace(CONFIG, steps=1), base=base, out=tmp_path / digest, **given)
    assert len(list((tmp_path / "cache").iterdir())) == 2
