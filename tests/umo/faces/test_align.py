import math

import pytest
import torch
from torch import Tensor

from umo.faces.align import align, fit_similarity

TEMPLATE = torch.tensor([[10.0, 12], [22, 12], [16, 18], [12, 24], [20, 24]])
FIRST = torch.zeros(1, dtype=torch.long)


def place(points: Tensor, *, scale: float, degrees: float, shift: tuple[float, float]) -> Tensor:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return scale * points @ torch.tensor([[cos, sin], [-sin, cos]]) + torch.tensor(shift)


def ramp(height: int, width: int) -> Tensor:
    """A picture whose channels are x, y and 0, so that a crop tells where its pixels come from."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y, torch.zeros_like(x)])[None].float()


def test_a_quarter_turn_by_hand() -> None:
    source = torch.tensor([[[0.0, 0], [2, 0], [0, 2]]])
    target = torch.tensor([[[5.0, 5], [5, 9], [1, 5]]])
    expected = torch.tensor([[[0.0, -2, 5], [2, 0, 5]]])
    torch.testing.assert_close(fit_similarity(source, target), expected)


def test_points_that_no_similarity_joins_are_fitted_by_least_squares() -> None:
    source = torch.tensor([[[-1.0, 0], [1, 0], [0, -1], [0, 1]]])
    stretched = source * torch.tensor([3.0, 1.0])
    expected = torch.tensor([[[2.0, 0, 0], [0, 2, 0]]])
    torch.testing.assert_close(fit_similarity(source, stretched), expected)


@pytest.mark.parametrize("degrees", [0.0, 30.0, -75.0])
def test_crop_pixels_come_from_where_the_transform_says(degrees: float) -> None:
    landmarks = place(TEMPLATE, scale=1.5, degrees=degrees, shift=(40.0, 45.0))
    crop = align(ramp(128, 128), landmarks[None], FIRST, TEMPLATE, 32)
    for x, y in ((16, 18), (10, 12), (20, 24)):
        wanted = place(
            torch.tensor([float(x), float(y)]), scale=1.5, degrees=degrees, shift=(40, 45)
        )
        torch.testing.assert_close(crop[0, :2, y, x], wanted, atol=1e-3, rtol=0)


def test_outside_the_picture_is_zero() -> None:
    crop = align(torch.ones(1, 3, 16, 16), TEMPLATE[None] + 100, FIRST, TEMPLATE, 32)
    assert not crop.any()


def test_shrinking_averages_instead_of_picking() -> None:
    stripes = (torch.arange(256) % 2).float().mul(2).sub(1).expand(1, 3, 256, 256)
    crop = align(stripes, TEMPLATE[None] * 8, FIRST, TEMPLATE, 32)
    assert crop[..., 4:28, 4:28].abs().max() < 0.1


def test_each_face_comes_from_its_own_picture() -> None:
    images = torch.stack([torch.full((3, 40, 40), value) for value in (-1.0, 0.5)])
    crops = align(images, TEMPLATE.expand(3, 5, 2), torch.tensor([1, 0, 1]), TEMPLATE, 8)
    assert crops.mean(dim=(1, 2, 3)).tolist() == pytest.approx([0.5, -1.0, 0.5])


def test_no_face_gives_no_crop() -> None:
    crops = align(torch.zeros(1, 3, 8, 8), torch.zeros(0, 5, 2), FIRST[:0], TEMPLATE, 32)
    assert crops.shape == (0, 3, 32, 32)


def test_gradient_is_that_of_finite_differences() -> None:
    image = torch.randn(
        1, 1, 12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    landmarks = place(TEMPLATE, scale=0.4, degrees=20, shift=(2.0, -2.0))[None]
    assert torch.autograd.gradcheck(
        lambda pixels: align(pixels, landmarks, FIRST, TEMPLATE, 16), image.requires_grad_()
    )


def test_without_smoothing_a_large_face_gives_single_pixels() -> None:
    noise = torch.rand(1, 3, 120, 120, generator=torch.Generator().manual_seed(0))
    landmarks = place(TEMPLATE, scale=2.0, degrees=0.0, shift=(6.0, 9.0))[None]
    crops = align(noise, landmarks, FIRST, TEMPLATE, 32, smooth=False)
    torch.testing.assert_close(crops[0], noise[0, :, 9:73:2, 6:70:2], atol=1e-4, rtol=0)
    smoothed = align(noise, landmarks, FIRST, TEMPLATE, 32)
    assert smoothed.std() < 0.8 * crops.std()
