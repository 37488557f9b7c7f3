"""Choices besides the paper's one-step prediction, each with the gradient it promises."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from services.tiny_runs import CONFIG, lines
from services.tiny_training import TinyModel
from umo.bases.embedded import tiny
from umo.config import from_mapping
from umo.data.shards import Dataset
from umo.errors import UsageError
from umo.training.cache import encode_dataset
from umo.training.objective import Objective, velocity_distance
from umo.training.rerefl import RereflConfig, train
from umo.training.rollout import last_steps, predict_clean, redraw, start_noise, straight_through

SMALL = replace(CONFIG, points=1, log_every=1, ema=0.0)
HEIGHT, WIDTH = 32, 64


@pytest.fixture
def start(model: TinyModel) -> torch.Tensor:
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    return start_noise(model, HEIGHT, WIDTH, generators)


@pytest.fixture
def conditioning(model: TinyModel) -> Any:
    generator = torch.Generator().manual_seed(5)
    references = [[torch.rand(3, 32, 32, generator=generator) for _ in range(2)] for _ in range(2)]
    return model.encode(["2 people"] * 2, references)


def test_one_last_step_is_the_one_step_prediction(
    model: TinyModel, start: torch.Tensor, conditioning: Any
) -> None:
    sigmas = model.sigmas(4, HEIGHT, WIDTH)
    once = last_steps(model, start, conditioning, sigmas[-2:], guidance=4)
    predicted = predict_clean(model, start, sigmas[-2].expand(2), conditioning, guidance=4)
    torch.testing.assert_close(once, predicted)


def test_every_last_step_has_its_gradient(
    model: TinyModel, start: torch.Tensor, conditioning: Any
) -> None:
    """The gradient of three steps is that of the same three steps written out, by differences."""
    sigmas = model.sigmas(4, HEIGHT, WIDTH)
    lora = model.add_lora(2, seed=0)[1]
    model.transformer.double()
    lora.data.fill_(0.1)
    inputs = start.double()

    def paint() -> torch.Tensor:
        return (
            last_steps(model, inputs, conditioning, sigmas[1:].double(), guidance=4).square().sum()
        )

    (gradient,) = torch.autograd.grad(paint(), lora)
    nudge = torch.zeros_like(lora)
    nudge[3, 1] = 1e-4
    with torch.no_grad():
        lora += nudge
        above = paint()
        lora -= 2 * nudge
        below = paint()
    torch.testing.assert_close(gradient[3, 1], (above - below) / 2e-4, rtol=1e-3, atol=1e-3)


def test_redrawn_latents_are_on_the_way_to_the_finished_ones() -> None:
    clean, noise = torch.full((2, 1), 3.0), torch.full((2, 1), -1.0)
    torch.testing.assert_close(redraw(clean, torch.tensor(0.25), noise), torch.full((2, 1), 2.0))


def test_straight_through_has_the_value_of_one_and_the_gradient_of_the_other() -> None:
    weight = torch.tensor(2.0, requires_grad=True)
    end, clean = torch.tensor([5.0]), weight * 3
    through = straight_through(end, clean)
    assert through.tolist() == [5.0]
    (gradient,) = torch.autograd.grad(through.square().sum(), weight)
    assert gradient == pytest.approx(2 * 5 * 3)


@pytest.mark.parametrize("picture", ["one-step", "last-steps", "redrawn", "endpoint"])
def test_every_picture_teaches_the_whole_lora(
    model: TinyModel, pack: Any, dataset: Dataset, picture: Any
) -> None:
    points = 1 if picture == "last-steps" else 2
    config = replace(SMALL, picture=picture, points=points, anchor=0.0)
    group = encode_dataset(dataset, model, pack, "reference", lambda line: None).groups[0]
    parameters = model.add_lora(4, seed=0)
    for parameter in parameters:
        parameter.data.add_(0.01)
    objective, rows = Objective(config, model, pack), torch.arange(3)
    results, pictures, _ = objective.rewards(
        group, rows, objective.roll_out(group, rows, objective.draw(group, 3), rows)
    )
    assert len(results) == len(pictures) == 3 * points
    torch.stack([result.reward for result in results]).mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters)


def test_the_endpoint_is_the_picture_that_the_roll_out_paints(
    model: TinyModel, pack: Any, dataset: Dataset
) -> None:
    group = encode_dataset(dataset, model, pack, "reference", lambda line: None).groups[0]
    model.add_lora(4, seed=0)
    config, rows = replace(SMALL, picture="endpoint", points=2), torch.arange(2)
    objective = Objective(config, model, pack)
    draws = objective.draw(group, 2)
    _, pictures, _ = objective.rewards(group, rows, objective.roll_out(group, rows, draws, rows))
    x, sigmas = draws.start, model.sigmas(config.rollout_steps, group.height, group.width)
    for step in range(config.rollout_steps):
        v = model.velocity(x, sigmas[step].expand(2), group.conditioning[rows], guidance=4)
        x = x + (sigmas[step + 1] - sigmas[step]) * v
    torch.testing.assert_close(pictures, model.decode(x).repeat_interleave(2, dim=0))


def test_a_hinge_below_every_reward_leaves_the_weights_alone(
    pack: Any, dataset: Dataset, tmp_path: Path
) -> None:
    config = replace(SMALL, steps=2, anchor=0.0, hinge=-10.0)
    train(config, base=TinyModel(), dataset=dataset, pack=pack, out=tmp_path)
    assert [line["grad_norm"] for line in lines(tmp_path)] == [0, 0]


def test_the_velocity_anchor_holds_the_model_back(
    pack: Any, dataset: Dataset, tmp_path: Path
) -> None:
    drifts = []
    for weight in (0.0, 100.0):
        config = replace(SMALL, steps=12, anchor=0.0, velocity_anchor=weight, seed=2)
        if not weight:
            config = replace(config, anchor=1e-9)
        out = tmp_path / str(weight)
        train(config, base=TinyModel(), dataset=dataset, pack=pack, out=out)
        drifts.append(lines(out)[-1]["drift"])
    assert drifts[1] < drifts[0] / 2


def test_the_base_without_its_lora_is_where_drift_is_zero() -> None:
    base = tiny(0)
    references = [[torch.zeros(3, 32, 32)]]
    conditioning = base.encode(["One person on a beach"], references)
    latents = torch.randn(1, *base.latent_shape(32, 32), generator=torch.Generator().manual_seed(0))
    ask = (latents, torch.tensor([0.5]), conditioning)
    before = base.velocity(*ask, guidance=1)
    parameters = base.add_lora(2, seed=0)
    for parameter in parameters:
        parameter.data.add_(0.05)
    assert velocity_distance(base.velocity(*ask, guidance=1), before) > 0
    with base.lora_off():
        assert torch.equal(base.velocity(*ask, guidance=1), before)
    assert all(parameter.requires_grad for parameter in parameters)


def test_the_judge_is_asked_and_ends_the_run(
    pack: Any, dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = replace(SMALL, steps=200, judge_every=2, patience=3, lr=1e-6)
    with caplog.at_level(logging.WARNING):
        result = train(config, base=TinyModel(), dataset=dataset, pack=pack, out=tmp_path)
    assert result["steps"] < 200
    last = lines(tmp_path)[-1]
    assert last["judge_still"] == 3
    assert ("judge does not" in caplog.text) == bool(last["judge_alarm"])
    assert all(("judge" in line) == (line["step"] % 2 == 0) for line in lines(tmp_path))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"picture": "last-steps"}, "picture is 'last-steps' and points 2"),
        ({"picture": "redrawn", "window": (2, 4)}, "picture is 'redrawn' and window begins at 2"),
        ({"patience": 3}, "patience is 3 and judge_every 0"),
        ({"velocity_anchor": -1.0}, r"velocity_anchor is -1\.0"),
        ({"ema": 1.0}, r"ema is 1\.0"),
        ({"micro_batch": 0}, "micro_batch is 0"),
        ({"precision": "int8"}, "precision is 'int8'"),
    ],
)
def test_a_wrong_choice_is_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        from_mapping(RereflConfig, values)
