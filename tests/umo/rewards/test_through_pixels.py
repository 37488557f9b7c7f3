"""The gradient of the reward in the pixels, through warp and embedder, against differences."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from umo.faces.align import align
from umo.faces.packs import detect_float, load_pack
from umo.rewards.matching import MatchingConfig, matching_rewards

PEOPLE = Path(__file__).parents[2] / "golden" / "people.webp"


@pytest.mark.parametrize("config", [MatchingConfig(), MatchingConfig.platform()])
def test_gradient_in_the_pixels_is_that_of_finite_differences(config: MatchingConfig) -> None:
    pack = load_pack("open")
    with Image.open(PEOPLE) as sheet:
        views = torch.from_numpy(np.array(sheet.convert("RGB"))).permute(2, 0, 1) / 127.5 - 1
    images = torch.stack([views[:, 96:, :192], views[:, :96, :192]])
    faces = detect_float(pack.detector, images)
    assert [len(found) for found in faces] == [2, 2]
    embedder = pack.reward.double()
    landmarks = torch.cat([found.landmarks for found in faces]).double()

    def embed(pixels: Tensor) -> tuple[Tensor, ...]:
        owner = torch.tensor([0, 0, 1, 1])
        crops = align(pixels, landmarks, owner, embedder.template, embedder.size)
        return embedder(crops).split([2, 2])

    images = images.double()
    references = [embedding.detach() for embedding in embed(images.flip(0))]

    def reward(pixels: Tensor) -> Tensor:
        results = matching_rewards(references, embed(pixels), config)
        return torch.stack([result.reward for result in results]).mean()

    images.requires_grad_()
    (gradient,) = torch.autograd.grad(reward(images), images)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        direction = torch.randn(images.shape, generator=generator, dtype=torch.double)
        step = 1e-8 * direction  # small: the network has a kink at every PReLU
        with torch.no_grad():
            difference = (reward(images + step) - reward(images - step)) / 2e-8
        assert (gradient * direction).sum().item() == pytest.approx(difference.item(), rel=1e-6)
    assert gradient.abs().amax(dim=(1, 2, 3)).min() > 0
