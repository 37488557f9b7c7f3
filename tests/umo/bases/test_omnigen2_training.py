"""ReReFL, evaluation and serving take OmniGen2 as they take FLUX."""

import json
from dataclasses import replace

import pytest
import torch

from services.tiny_training import make_sample, tiny_dataset, tiny_pack
from umo.bases.omnigen2_tiny import tiny
from umo.data.render import RenderConfig, render_samples
from umo.data.shards import Dataset, write_dataset
from umo.evaluation.evaluate import EvaluationConfig
from umo.files import read_manifest, write_manifest
from umo.steps import evaluate as evaluate_step
from umo.steps import train as train_step
from umo.training.cache import encode_dataset
from umo.training.config import RereflConfig
from umo.training.encoded import encode_once
from umo.training.memory import choose_precision, recompute_blocks
from umo.training.objective import Objective
from umo.training.parallel import World

CPU = torch.device("cpu")
SMALL = RereflConfig(
    steps=3, batch=2, points=1, rank=4, lr=1e-2, rollout_steps=3, window=(1, 2), warmup=1
)


def encoded(base, dataset, pack):
    return encode_dataset(dataset, base, pack, "reference", lambda line: None).groups


def gradients(tmp_path, *, recompute=False, precision="float32"):
    base, pack = tiny(0), tiny_pack()
    group = encoded(base, tiny_dataset(tmp_path / "data"), pack)[0]
    chosen = choose_precision(precision, CPU)
    if chosen.low:
        base.transformer.to(torch.bfloat16)
    lora = base.add_lora(4, seed=0)
    for parameter in lora:
        parameter.data = parameter.data.float() + 0.01
    if recompute:
        recompute_blocks(base.transformer)
        recompute_blocks(base.decoder)
    Objective(SMALL, base, pack, precision=chosen).backward(group, torch.arange(2))
    return [parameter.grad for parameter in lora]


def test_recomputed_blocks_and_bfloat16_give_nearly_the_same_gradient(tmp_path):
    plain = gradients(tmp_path / "a")
    torch.testing.assert_close(gradients(tmp_path / "b", recompute=True), plain)
    low = gradients(tmp_path / "c", precision="bfloat16")
    one, other = (torch.cat([g.flatten() for g in each]) for each in (plain, low))
    assert other.dtype == torch.float32
    assert torch.cosine_similarity(one, other, dim=0) > 0.9


def test_an_encoded_dataset_keeps_the_lengths_of_its_prompts(tmp_path):
    base, pack = tiny(0), tiny_pack()
    samples = [
        replace(make_sample(2 * i, 2), prompt="two people" + " and a dog" * i) for i in range(3)
    ]
    write_dataset(samples, tmp_path / "data", {})
    dataset = Dataset(tmp_path / "data")

    def encode(cache):
        return encode_once(
            dataset,
            base,
            pack,
            "reference",
            lambda line: None,
            judge=False,
            cache=cache,
            world=World(),
        ).groups[0]

    fresh = encode(None)
    lengths = fresh.conditioning.lengths
    assert lengths.tolist() == sorted(set(lengths.tolist()))
    for _ in range(2):
        kept = encode(tmp_path / "cache")
        assert torch.equal(kept.conditioning.lengths, lengths)
        assert torch.equal(kept.conditioning.text, fresh.conditioning.text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("base") / "omnigen2"
    path.mkdir()
    tiny(0).save(path)
    write_manifest(path, {"kind": "base", "name": "omnigen2-tiny"})
    return path


def test_the_steps_train_and_evaluate_it_with_real_faces(folder, tmp_path):
    for split, seed in (("tune", 0), ("held-out", 1)):
        config = RenderConfig(split=split, samples=4, people={2: 1.0}, seed=seed)
        write_dataset(render_samples(config), tmp_path / split, {})
    tuned = train_step.run(
        SMALL,
        base=str(folder),
        pack="open",
        data=tmp_path / "tune",
        folder=tmp_path / "train",
        progress=lambda line: None,
    )
    manifest = read_manifest(tmp_path / "train", verify=True)
    assert manifest["base"]["name"] == "omnigen2-tiny"
    assert tuned.digest == manifest["digest"]
    evaluate_step.run(
        EvaluationConfig(steps=2, resamples=100),
        base=str(folder),
        pack="open",
        data=tmp_path / "held-out",
        tuned=tmp_path / "train",
        folder=tmp_path / "evaluation",
        progress=lambda line: None,
    )
    summary = json.loads((tmp_path / "evaluation" / "summary.json").read_text())
    assert summary["lineage"]["base"]["name"] == "omnigen2-tiny"
    pictures = tmp_path / "evaluation" / "pictures"
    assert len(list((pictures / "base").glob("*.png"))) == 4
    assert len(list((pictures / "tuned").glob("*.png"))) == 4
