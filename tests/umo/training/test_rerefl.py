"""ReReFL: gradient where it belongs, rewards that rise, losses that fall, digests that repeat."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from umo.config import from_mapping
from umo.data.schema import Sample
from umo.data.shards import Dataset
from umo.errors import UmoError, UsageError
from umo.files import read_manifest, sha256
from umo.training.cache import batches, encode_dataset
from umo.training.draws import draw_stops
from umo.training.objective import Objective
from umo.training.rerefl import RereflConfig, train

SMALL = RereflConfig(
    steps=4, batch=4, rank=4, lr=1e-2, rollout_steps=4, window=(1, 2), warmup=1, log_every=1
)


def encode(base: Any, dataset: Dataset, pack: Any, goal: Any = "reference") -> Any:
    return encode_dataset(dataset, base, pack, goal, lambda line: None)


def lines(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def everything(base: Any, pack: Any) -> list[torch.nn.Parameter]:
    modules = (base.transformer, base.decoder, pack.reward, pack.judge)
    return [parameter for module in modules for parameter in module.parameters()]


def test_the_reward_reaches_every_lora_parameter_and_nothing_else(
    model: Any, pack: Any, dataset: Dataset
) -> None:
    group = encode(model, dataset, pack).groups[0]
    lora = model.add_lora(4, seed=0)
    for parameter in lora:
        parameter.data.add_(0.01)
    for parameter in everything(model, pack):
        parameter.requires_grad_(True)
    objective, rows = Objective(SMALL, model, pack), torch.arange(4)
    results, _, _ = objective.rewards(
        group, rows, objective.roll_out(group, rows, objective.draw(group, 4), rows)
    )
    torch.stack([result.reward for result in results]).mean().backward(inputs=lora)
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in lora)
    mine = {id(parameter) for parameter in lora}
    assert all(p.grad is None for p in everything(model, pack) if id(p) not in mine)


@pytest.mark.parametrize("reward", ["matching", "single"])
@pytest.mark.parametrize("goal", ["reference", "target"])
def test_the_reward_rises(
    model: Any,
    pack: Any,
    make_dataset: Any,
    samples: list[Sample],
    tmp_path: Path,
    reward: Any,
    goal: Any,
) -> None:
    config = replace(SMALL, steps=20, reward=reward, goal=goal, anchor=0.0, lr=0.03, clip=10.0)
    data = make_dataset(samples[::2])
    group = encode(model, data, pack, goal).groups[0]

    def rewards() -> np.ndarray:
        objective, rows = (
            Objective(replace(config, seed=9), model, pack),
            torch.arange(4).repeat(64),
        )
        draws = objective.draw(group, len(rows))
        with torch.no_grad():
            results, _, _ = objective.rewards(
                group, rows, objective.roll_out(group, rows, draws, torch.arange(len(rows)))
            )
        return np.array([result.reward.item() for result in results])

    before = rewards()
    train(config, base=model, dataset=data, pack=pack, out=tmp_path / "out")
    gain = rewards() - before
    assert gain.mean() > 4 * gain.std() / len(gain) ** 0.5


def test_plain_fine_tuning_lowers_the_flow_matching_loss(
    model: Any, pack: Any, dataset: Dataset, tmp_path: Path
) -> None:
    config = replace(SMALL, steps=60, reward="none")
    group = encode(model, dataset, pack).groups[0]

    def loss() -> float:
        objective, rows = (
            Objective(replace(config, seed=9), model, pack),
            torch.arange(4).repeat(64),
        )
        draws = objective.draw(group, len(rows))
        with torch.no_grad():
            return objective.flow_matching(group, rows, draws, torch.arange(len(rows)))[0].item()

    before = loss()
    train(config, base=model, dataset=dataset, pack=pack, out=tmp_path / "out")
    assert loss() < 0.9 * before
    assert "reward" not in lines(tmp_path / "out")[0]


def test_the_same_seed_gives_the_same_weights(
    model: Any, pack: Any, dataset: Dataset, tmp_path: Path
) -> None:
    def digest(config: RereflConfig, name: str) -> str:
        result = train(config, base=model, dataset=dataset, pack=pack, out=tmp_path / name)
        return str(result["digest"])

    first = digest(SMALL, "a")
    assert digest(SMALL, "b") == first
    assert digest(replace(SMALL, seed=1), "c") != first


def test_what_a_run_leaves(model: Any, pack: Any, dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    told: list[dict[str, Any]] = []
    config = replace(SMALL, points=2, log_every=3)
    result = train(config, base=model, dataset=dataset, pack=pack, out=out, progress=told.append)
    manifest = read_manifest(out, verify=True)
    assert manifest["kind"] == "lora"
    assert manifest["weights"] == result["digest"] == sha256(out / "lora.safetensors")
    assert from_mapping(RereflConfig, manifest["config"]) == config
    assert manifest["base"] == {"name": "tiny", "digest": "0" * 64}
    assert manifest["data"] == dataset.digest
    assert manifest["machine"]["torch"] == torch.__version__
    assert [line["step"] for line in lines(out)] == [3, 4]
    assert {
        "loss",
        "reward",
        "matched",
        "mismatched",
        "missing",
        "faces",
        "flow_matching",
        "grad_norm",
        "seconds_rollout",
        "seconds_reward",
        "seconds_backward",
        "seconds_data",
        "seconds_optimizer",
        "samples_per_second",
        "operations_per_second",
        "utilisation",
    } <= lines(out)[-1].keys()
    assert result["last"] == lines(out)[-1]
    phases = [
        (line["phase"], line["done"], line["total"]) for line in told if "picture" not in line
    ]
    assert phases == [("encode", i, 7) for i in range(1, 8)] + [("train", 3, 4), ("train", 4, 4)]
    painted = [(line["done"], line["picture"]) for line in told if "picture" in line]
    assert painted == [(step, f"samples/step-0000000{step}.jpg") for step in (0, 4)]
    model.without_lora()
    model.load_lora(out / "lora.safetensors")


def test_a_time_budget_ends_the_run(
    model: Any, pack: Any, dataset: Dataset, tmp_path: Path
) -> None:
    config = replace(SMALL, steps=10_000, max_seconds=1e-3)
    result = train(config, base=model, dataset=dataset, pack=pack, out=tmp_path / "out")
    assert result["steps"] == 1


def test_a_loss_that_is_not_finite_keeps_the_last_weights(
    model: Any, pack: Any, dataset: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    saved: list[str] = []

    def poison(line: dict[str, Any]) -> None:
        if line["phase"] == "train" and line["done"] == 2:
            model.decoder.weight.data.fill_(float("nan"))

    save = model.save_lora

    def record(path: Path) -> None:
        save(path)
        saved.append(sha256(path))

    model.save_lora = record
    config = replace(SMALL, save_every=1)
    with pytest.raises(UmoError, match="not finite") as raised:
        train(config, base=model, dataset=dataset, pack=pack, out=out, progress=poison)
    assert "\n" not in str(raised.value)
    assert len(saved) == 2
    assert sha256(out / "lora.safetensors") == saved[-1]
    assert not (out / "manifest.json").exists()


def test_samples_without_a_face_are_left_out(
    model: Any, pack: Any, make_dataset: Callable[[Sequence[Sample]], Dataset], samples: Any
) -> None:
    blank = samples[0].references[0] * 0
    faceless = replace(samples[0], references=(samples[0].references[0], blank))
    many = [replace(samples[2], key=f"copy-{i}") for i in range(10)]
    encoded = encode(model, make_dataset([faceless, *many]), pack)
    assert encoded.left_out == [faceless.key]
    assert [len(group) for group in encoded.groups] == [10]
    expected = r"1 of 2 samples of .* have no face in a reference picture, first 'sample-0'"
    with pytest.raises(UsageError, match=expected):
        encode(model, make_dataset([faceless, samples[2]]), pack)


def test_batches_have_one_number_of_people_and_visit_every_sample(
    model: Any, pack: Any, dataset: Dataset
) -> None:
    groups = encode(model, dataset, pack).groups
    assert [(len(g), g.width, g.goals[0].shape[0]) for g in groups] == [(4, 64, 2), (3, 32, 1)]
    stream = batches(groups, 2, seed=3)
    epoch = [next(stream) for _ in range(3)]
    visited = sorted((g.width, row) for g, rows in epoch for row in rows.tolist())
    assert visited[2:] == [(64, 0), (64, 1), (64, 2), (64, 3)]
    assert [width for width, _ in visited[:2]] == [32, 32]
    again = batches(groups, 2, seed=3)
    assert all(torch.equal(rows, next(again)[1]) for _, rows in epoch)


def test_stop_steps_are_uniform_in_the_window() -> None:
    config = replace(SMALL, rollout_steps=25, window=(1, 10), points=3)
    stops = draw_stops(config, 4000, torch.Generator().manual_seed(0))
    assert stops.shape == (4000, 3)
    counts = stops.flatten().bincount(minlength=25)
    assert counts[:15].sum() == 0
    np.testing.assert_allclose(counts[15:], 1200, rtol=0.1)
    assert all(len(set(row)) == 3 for row in stops.tolist())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"window": (0, 5)}, "window is 0..5 of a roll-out of 8 steps"),
        ({"window": (1, 13)}, "window is 1..13 of a roll-out of 8 steps"),
        ({"window": (1, 3), "points": 4}, "points is 4, the window 1..3 has 3 steps"),
        ({"batch": 0}, "batch is 0"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"reward": "none", "anchor": 0.0}, "nothing to learn"),
        ({"reward": "best"}, "reward"),
        ({"learning_rate": 1}, "unknown key 'learning_rate'"),
        ({"matching": {"mismatched": 1}}, "unknown key 'mismatched'"),
    ],
)
def test_a_wrong_config_is_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        from_mapping(RereflConfig, values)
    assert "\n" not in str(raised.value)
