"""All weights instead of a LoRA: trained, saved, gone on with, and compared with the base."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from services.tiny_runs import CONFIG, Job, curve, end, lines, run, start
from services.tiny_training import tiny_dataset
from umo.bases.embedded import tiny
from umo.bases.weights import FULL, LORA, tuned, tuned_file
from umo.config import from_mapping
from umo.errors import DiffersError, UsageError
from umo.files import read_manifest
from umo.training.rerefl import CHECKPOINTS, RereflConfig

WHOLE = replace(
    CONFIG, weights="full", steps=4, lr=1e-3, log_every=1, rollout_steps=2, recompute=True
)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("full")
    data = tiny_dataset(folder / "data").folder
    job = Job(data=data, out=folder / "run", config=WHOLE, flux=True)
    run(job)
    return job


def test_every_weight_is_trained(job: Job) -> None:
    assert sorted(path.name for path in job.out.iterdir()) == [
        "manifest.json",
        "metrics.jsonl",
        FULL,
    ]
    manifest = read_manifest(job.out, verify=True)
    assert (manifest["kind"], tuned_file(job.out)) == ("transformer", job.out / FULL)
    before, after = tiny(0).transformer.state_dict(), load_file(job.out / FULL)
    assert before.keys() == after.keys()
    assert all(not torch.equal(tensor, after[key]) for key, tensor in before.items())
    assert "drift" not in lines(job.out)[-1]


def test_sharded_and_resumed_it_is_the_same(job: Job, tmp_path: Path) -> None:
    pair = replace(job, out=tmp_path / "run", size=2, sharded=True)
    assert 1 in end(start(pair, crash_after=3))
    assert [p.name for p in (pair.out / CHECKPOINTS).glob("step-*")] == ["step-00000002"]
    run(pair)
    one, two = (torch.tensor([v for _, v in curve(out)]) for out in (job.out, pair.out))
    torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(
        load_file(job.out / FULL), load_file(pair.out / FULL), rtol=1e-2, atol=1e-4
    )


def test_the_base_has_its_own_weights_again(job: Job, tmp_path: Path) -> None:
    base, theirs = tiny(0), load_file(job.out / FULL)
    own = {key: tensor.clone() for key, tensor in base.transformer.state_dict().items()}
    with tuned(base, job.out / FULL):
        inside = base.transformer.state_dict()
        assert all(torch.equal(inside[key], theirs[key]) for key in theirs)
    assert all(torch.equal(base.transformer.state_dict()[key], own[key]) for key in own)
    with tuned(base, None):
        assert all(torch.equal(base.transformer.state_dict()[key], own[key]) for key in own)
    (name, *_) = theirs
    save_file(
        {**{k: v for k, v in theirs.items() if k != name}, "x": theirs[name]}, tmp_path / FULL
    )
    with (
        pytest.raises(DiffersError, match=f"does not fit .*missing: {name}; unexpected: x"),
        tuned(base, tmp_path / FULL),
    ):
        pass


def test_a_lora_is_found_by_its_name(tmp_path: Path) -> None:
    assert tuned_file(tmp_path) == tmp_path / LORA


@pytest.mark.parametrize("values", [{"base_weights": "int8"}, {"velocity_anchor": 0.1}])
def test_a_frozen_base_is_not_there(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"weights is 'full'.*train a LoRA, or leave both out"):
        from_mapping(RereflConfig, {"weights": "full", **values})
