import torch

from umo.pixels import to_bytes, to_float


def test_every_byte_survives_the_way_there_and_back() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).expand(2, 16, 16, 3)
    pictures = to_float(pixels)
    assert pictures.shape == (2, 3, 16, 16)
    assert (pictures.min(), pictures.max()) == (-1, 1)
    assert torch.equal(to_bytes(pictures), pixels)
    assert torch.equal(to_bytes(pictures[0]), pixels[0])


def test_what_lies_outside_is_clamped() -> None:
    pictures = torch.tensor([-1.2, 0.0, 7.0]).reshape(3, 1, 1).requires_grad_()
    assert to_bytes(pictures).flatten().tolist() == [0, 128, 255]
