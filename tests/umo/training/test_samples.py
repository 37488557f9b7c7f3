"""Pictures at fixed prompts and seeds: the same noise each time, generated people only."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image as Pillow

from services.tiny_runs import CONFIG
from services.tiny_training import TinyModel, make_sample
from umo.data.schema import Sample
from umo.data.shards import Dataset
from umo.errors import UmoError
from umo.files import read_manifest, write_manifest
from umo.training.cache import encode_dataset
from umo.training.memory import Precision
from umo.training.rerefl import train
from umo.training.samples import SampleGrid

FULL = Precision(name="float32", reason="a test")
MakeDataset = Callable[[Sequence[Sample]], Dataset]


def grid(model: TinyModel, pack: Any, dataset: Dataset, count: int = 4) -> SampleGrid:
    return SampleGrid(
        replace(CONFIG, samples=count),
        base=model,
        dataset=dataset,
        groups=encode_dataset(dataset, model, pack, "reference", lambda line: None).groups,
        pack=pack,
        precision=FULL,
    )


def test_a_picture_is_of_the_weights_alone(
    model: TinyModel, pack: Any, dataset: Dataset, tmp_path: Path
) -> None:
    paths = [tmp_path / name for name in ("a.jpg", "b.jpg", "c.jpg")]
    grid(model, pack, dataset).paint(paths[0], "now", write=True)
    torch.manual_seed(7)
    grid(model, pack, dataset).paint(paths[1], "now", write=True)
    model.transformer.last.weight.data += 0.3
    grid(model, pack, dataset).paint(paths[2], "now", write=True)
    first, again, other = (path.read_bytes() for path in paths)
    assert first == again != other
    assert Pillow.open(paths[0]).format == "JPEG"


def test_every_number_of_people_has_its_turn(
    model: TinyModel, pack: Any, dataset: Dataset, tmp_path: Path
) -> None:
    sizes = []
    for count in (1, 2, 3):
        shown = grid(model, pack, dataset, count)
        assert len(shown) == count
        shown.paint(tmp_path / f"{count}.jpg", "now", write=True)
        sizes.append(Pillow.open(tmp_path / f"{count}.jpg").width)
    one, two = sizes[0], sizes[1] - sizes[0]
    assert sizes[2] - sizes[1] < two
    assert one < two


def test_real_people_are_not_shown(model: TinyModel, pack: Any, make_dataset: MakeDataset) -> None:
    real = [replace(make_sample(index, 2), consent="signed release 12") for index in range(3)]
    generated = replace(make_sample(9, 2), key="generated")
    assert len(grid(model, pack, make_dataset([*real, generated]))) == 1


def test_nobody_to_show(
    model: TinyModel, pack: Any, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    data = make_dataset([replace(make_sample(index, 2), consent="signed") for index in range(4)])
    config = replace(CONFIG, steps=2, samples=4)
    train(config, base=model, dataset=data, pack=pack, out=tmp_path / "out")
    assert not (tmp_path / "out/samples").exists()


def test_a_run_that_goes_on_has_the_pictures_of_one_that_never_stopped(
    pack: Any, dataset: Dataset, tmp_path: Path
) -> None:
    config = replace(CONFIG, steps=6, save_every=2, log_every=1, samples=2)
    given = {"dataset": dataset, "pack": pack}

    def crash(line: dict[str, Any]) -> None:
        if line["phase"] == "train" and line["done"] == 5:
            raise UmoError("crashed")

    left = tmp_path / "out/samples/step-00000099.jpg"
    left.parent.mkdir(parents=True)
    left.touch()
    train(config, base=TinyModel(), out=tmp_path / "whole", **given)
    with pytest.raises(UmoError, match="crashed"):
        train(config, base=TinyModel(), out=tmp_path / "out", progress=crash, **given)
    assert not left.exists()
    train(config, base=TinyModel(), out=tmp_path / "out", **given)
    whole, resumed = (
        {path.name: path.read_bytes() for path in (tmp_path / name / "samples").iterdir()}
        for name in ("whole", "out")
    )
    assert whole == resumed
    assert sorted(whole) == [f"step-0000000{step}.jpg" for step in (0, 2, 4, 6)]
    write_manifest(tmp_path / "out", {})
    assert "samples/step-00000006.jpg" in read_manifest(tmp_path / "out")["files"]


def test_a_folder_that_cannot_be_written(
    model: TinyModel, pack: Any, dataset: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "samples").touch()
    with pytest.raises(UmoError, match="cannot write"):
        grid(model, pack, dataset).paint(tmp_path / "samples/a.jpg", "now", write=True)
