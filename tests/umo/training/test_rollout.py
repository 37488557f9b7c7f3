"""Roll-outs follow the flow, stop where asked, and do not depend on their batch."""

from typing import Any

import pytest
import torch

from umo.errors import UsageError
from umo.training.rollout import denoise, predict_clean, sample, start_noise

HEIGHT, WIDTH, STEPS = 32, 64, 6


@pytest.fixture
def conditioning(model: Any) -> Any:
    generator = torch.Generator().manual_seed(5)
    references = [[torch.rand(3, 32, 32, generator=generator) for _ in range(2)] for _ in range(4)]
    return model.encode(["2 people"] * 4, references)


def noise(model: Any, seeds: list[int]) -> torch.Tensor:
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return start_noise(model, HEIGHT, WIDTH, generators)


def test_different_stop_steps_equal_one_by_one(model: Any, conditioning: Any) -> None:
    sigmas = model.sigmas(STEPS, HEIGHT, WIDTH)
    start = noise(model, [1, 2, 3, 4])
    stops = torch.tensor([[3, 1], [0, 6], [5, 2], [4, 4]])
    together = denoise(model, start, conditioning, sigmas, stops, guidance=4)
    for row, column in torch.cartesian_prod(torch.arange(4), torch.arange(2)).tolist():
        x = start[row : row + 1]
        for step in range(int(stops[row, column])):
            v = model.velocity(x, sigmas[step : step + 1], conditioning[row : row + 1], guidance=4)
            x = x + (sigmas[step + 1] - sigmas[step]) * v
        torch.testing.assert_close(together[row, column], x[0])


def test_a_roll_out_leaves_its_noise_alone(model: Any, conditioning: Any) -> None:
    start = noise(model, [1, 2, 3, 4])
    before = start.clone()
    sigmas = model.sigmas(STEPS, HEIGHT, WIDTH)
    denoise(model, start, conditioning, sigmas, torch.full((4, 1), STEPS), guidance=4)
    torch.testing.assert_close(start, before, rtol=0, atol=0)


def test_a_picture_does_not_depend_on_its_batch(model: Any, conditioning: Any) -> None:
    paint = {"height": HEIGHT, "width": WIDTH, "steps": STEPS, "guidance": 4.0}
    batch = sample(model, conditioning, seeds=[7, 8, 9, 10], **paint)
    assert batch.shape == (4, 3, HEIGHT, WIDTH)
    assert not batch.requires_grad
    for row, seed in enumerate([7, 8, 9, 10]):
        alone = sample(model, conditioning[row : row + 1], seeds=[seed], **paint)
        torch.testing.assert_close(batch[row], alone[0])
    other = sample(model, conditioning[:1], seeds=[8], **paint)
    assert not torch.allclose(other[0], batch[0])


def test_the_clean_prediction_is_exact_on_a_straight_path(model: Any, conditioning: Any) -> None:
    clean, start = noise(model, [1, 2, 3, 4]), noise(model, [5, 6, 7, 8])
    sigma = torch.tensor([0.1, 0.5, 0.9, 1.0])
    at = sigma[:, None, None, None]
    model.velocity = lambda *_, **__: start - clean
    found = predict_clean(model, (1 - at) * clean + at * start, sigma, conditioning, guidance=4)
    torch.testing.assert_close(found, clean)


def test_wrong_calls_are_refused(model: Any, conditioning: Any) -> None:
    with pytest.raises(UsageError, match="3 seeds for 4 prompts"):
        sample(model, conditioning, height=32, width=64, steps=2, guidance=4, seeds=[1, 2, 3])
    with pytest.raises(UsageError, match="steps is 0"):
        sample(model, conditioning, height=32, width=64, steps=0, guidance=4, seeds=[1, 2, 3, 4])
