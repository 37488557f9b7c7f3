import json

import pytest
import torch

from umo.bases.embedded import new_autoencoder, new_base
from umo.bases.flux_reference import FluxReference
from umo.config import from_mapping
from umo.data.render import RenderConfig, render_samples
from umo.data.shards import Dataset, write_dataset
from umo.errors import UsageError
from umo.training.autoencoder import AutoencoderConfig, fit_autoencoder
from umo.training.pretrain import PretrainConfig, encode_scenes, fit_base, pretrain

PROMPTS = ["One person on a beach", "Two people in a park", "Three people by a window"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrain") / "data"
    config = RenderConfig(split="pretrain", samples=4, people={3: 1.0})
    write_dataset(render_samples(config), folder, {})
    return Dataset(folder)


def small(**settings):
    few = {"tiles": 6, "warmup": 1, "people": {1: 0.5, 3: 0.5}}
    return from_mapping(PretrainConfig, few | settings)


def narrow(seed=0):
    return new_base(
        new_autoencoder(seed=seed), PROMPTS, seed=seed, width=32, double_blocks=1, single_blocks=1
    )


def test_the_autoencoder_learns(dataset):
    tiles = torch.stack([torch.from_numpy(s.references[0]) for s in dataset])
    seen = []
    config = AutoencoderConfig(steps=51, batch=4)
    vae = fit_autoencoder(tiles, config, seed=0, progress=seen.append)
    assert seen[-1]["psnr"] > seen[0]["psnr"] + 2
    assert vae.config["scaling_factor"] > 0


def test_each_second_scene_is_mirrored(dataset):
    base = narrow()
    (scenes,) = encode_scenes(base, dataset)
    assert scenes.targets.shape == (4, 16, 12, 36)
    assert scenes.references.shape == (4, 3, 16, 12, 12)
    picture = torch.from_numpy(dataset[1].target).permute(2, 0, 1).float() / 127.5 - 1
    assert torch.equal(scenes.targets[1], base.encode_images(picture.flip(-1)[None])[0])


def test_the_base_learns_and_the_same_seed_gives_the_same_weights(dataset):
    weights = []
    for _ in range(2):
        base, losses = narrow(), []
        scenes = encode_scenes(base, dataset)
        fit_base(base, scenes, small(lr=2e-3, steps=60), progress=losses.append)
        weights.append([p.clone() for p in base.transformer.parameters()])
        assert losses[-1]["loss"] < losses[0]["loss"]
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_more_people_than_the_scenes_have_is_refused():
    with pytest.raises(UsageError, match="asks for 4 in a picture"):
        small(people={4: 1.0})


@pytest.mark.slow
def test_pretrain_writes_a_base_that_loads(tmp_path):
    config = small(
        steps=2,
        workers=1,
        data={"split": "pretrain", "samples": 2, "people": {3: 1.0}},
        autoencoder={"steps": 2, "batch": 2},
    )
    result = pretrain(config, tmp_path)
    base = FluxReference.load(tmp_path / "base")
    assert base.digest == result["digest"]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {line["stage"] for line in lines} == {"autoencoder", "base"}
