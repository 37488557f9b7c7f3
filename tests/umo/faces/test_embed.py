import pytest
import torch
from torch import nn

from umo.faces.embed import FaceEmbedder, centre
from umo.faces.packs import FacePack


class Probe(nn.Module):
    """Remembers what it was given."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen = images
        return images.mean(dim=(2, 3))


def test_the_network_sees_its_own_range_and_channel_order() -> None:
    probe = Probe()
    embedder = FaceEmbedder(
        probe,
        size=2,
        template=torch.zeros(5, 2),
        mean=torch.zeros(3),
        directions=torch.zeros(0, 3),
        gain=127.5,
        offset=(127.5, 27.5, 0.0),
        bgr=True,
    )
    embedder(torch.tensor([-1.0, 0.0, 1.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2))
    assert probe.seen[0, :, 0, 0].tolist() == [127.5, 27.5, 0.0]


def test_centring_by_hand() -> None:
    features = torch.tensor([[0.6, 0.8, 0.0], [0.0, 0.8, 0.6]])
    mean, directions = torch.tensor([0.3, 0.8, 0.3]), torch.tensor([[0.0, 1.0, 0.0]])
    half = 0.5**0.5
    expected = torch.tensor([[half, 0.0, -half], [-half, 0.0, half]])
    torch.testing.assert_close(centre(features, mean, directions), expected)


@pytest.mark.parametrize(("role", "dim", "size"), [("reward", 512, 112), ("judge", 128, 150)])
def test_shape_norm_and_determinism(pack: FacePack, role: str, dim: int, size: int) -> None:
    embedder: FaceEmbedder = getattr(pack, role)
    crops = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    first, second = embedder(crops), embedder(crops)
    assert (embedder.dim, embedder.size, first.shape) == (dim, size, (2, dim))
    assert torch.equal(first, second)
    torch.testing.assert_close(first.norm(dim=1), torch.ones(2))
    assert embedder(crops[:0]).shape == (0, dim)
    assert not any(parameter.requires_grad for parameter in embedder.parameters())


@pytest.mark.parametrize("role", ["reward", "judge"])
def test_gradient_is_that_of_finite_differences(pack: FacePack, role: str) -> None:
    embedder: FaceEmbedder = getattr(pack, role)
    generator = torch.Generator().manual_seed(0)
    shape = (1, 3, embedder.size, embedder.size)
    crop = torch.rand(shape, generator=generator) * 2 - 1
    goal = embedder(torch.rand(shape, generator=generator) * 2 - 1).detach()
    crop.requires_grad_()
    (gradient,) = torch.autograd.grad((embedder(crop) * goal).sum(), crop)
    step = 2e-2 * gradient / gradient.norm()
    with torch.no_grad():
        ahead, behind = ((embedder(crop + sign * step) * goal).sum() for sign in (1, -1))
    measured = float(ahead - behind) / 2
    assert measured == pytest.approx(float((gradient * step).sum()), rel=0.05)
