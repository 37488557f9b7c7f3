"""Rewards beside identity: weighted, logged, part of what makes a run, and taught."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from services.tiny_clip import tiny_clip
from services.tiny_runs import CONFIG, lines
from services.tiny_training import TinyModel
from umo.config import from_mapping
from umo.data.shards import Dataset
from umo.errors import DiffersError, UmoError, UsageError
from umo.files import read_manifest, sha256
from umo.training.cache import encode_dataset
from umo.training.mixture import Mixture, MixtureConfig
from umo.training.rerefl import RereflConfig, train


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("clip"))


def test_each_picture_is_compared_with_its_own_prompt(
    model: TinyModel, pack: Any, dataset: Dataset, clip: Path
) -> None:
    config = MixtureConfig(clip=str(clip), prompt=2.0, quality=0.5)
    found = config.load()
    assert found
    groups = encode_dataset(dataset, model, pack, "reference", lambda line: None).groups
    mixture = Mixture(config, found, dataset, groups)
    pictures = torch.rand(3, 3, 32, 64, generator=torch.Generator().manual_seed(0))
    rows = torch.tensor([2, 0, 0])
    rewards = mixture(groups[0], rows, pictures)
    prompts = [dataset[groups[0].indices[row]].prompt for row in rows.tolist()]
    expected = (found.images(pictures) * found.texts(prompts)).sum(dim=1)
    torch.testing.assert_close(rewards["prompt"], expected)
    weighted = 2 * rewards["prompt"] + 0.5 * rewards["quality"]
    torch.testing.assert_close(mixture.weighted(rewards), weighted)


def test_it_is_learned_logged_and_named(
    pack: Any, dataset: Dataset, clip: Path, tmp_path: Path
) -> None:
    plain = replace(CONFIG, steps=30, anchor=0.0, hinge=-10.0, save_every=30, ema=0.0)
    mixed = replace(plain, mixture=MixtureConfig(clip=str(clip), prompt=1.0, quality=1.0))
    given = {"base": TinyModel(), "dataset": dataset, "pack": pack}
    train(mixed, out=tmp_path / "out", **given)
    manifest = read_manifest(tmp_path / "out")
    assert manifest["mixture"] == {"digest": sha256(clip / "model.safetensors")}
    first, last = lines(tmp_path / "out")[0], lines(tmp_path / "out")[-1]
    assert last["prompt"] + last["quality"] > first["prompt"] + first["quality"]


def test_other_weights_of_the_model_are_another_run(
    pack: Any, dataset: Dataset, tmp_path: Path
) -> None:
    folder = tiny_clip(tmp_path / "clip")
    config = replace(CONFIG, log_every=1, mixture=MixtureConfig(clip=str(folder), quality=1.0))

    def crash(line: dict[str, Any]) -> None:
        if line["phase"] == "train" and line["done"] == 3:
            raise UmoError("crashed")

    given = {"dataset": dataset, "pack": pack, "out": tmp_path / "out"}
    with pytest.raises(UmoError, match="crashed"):
        train(config, base=TinyModel(), progress=crash, **given)
    tiny_clip(folder, seed=1)
    with pytest.raises(DiffersError, match=r"with mixture\.digest \w{64}, this one has"):
        train(config, base=TinyModel(), **given)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mixture": {"prompt": 1.0}}, "mixture.clip is '', prompt 1.0"),
        ({"mixture": {"clip": "somewhere"}}, "name a folder and give one of the weights"),
        ({"mixture": {"clip": "somewhere", "prompt": -1.0}}, "both must be 0 or more"),
        (
            {"reward": "none", "mixture": {"clip": "somewhere", "prompt": 1.0}},
            "it adds to a reward",
        ),
    ],
)
def test_a_wrong_mixture_is_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        from_mapping(RereflConfig, values)
