"""CLIP's rewards: transformers' own embeddings, and a gradient to the pixels."""

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, CLIPModel

from services.tiny_clip import tiny_clip
from umo.errors import NotFoundError, UsageError
from umo.files import sha256
from umo.rewards.clip import QUALITIES, Clip

TEXTS = ["Two people in a park", "One person"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("clip"))


def pictures(height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, 3, height, width, generator=generator) * 2 - 1


def test_cosines_are_those_of_transformers(folder: Path) -> None:
    clip, images = Clip.load(folder), pictures(32, 32)
    found = clip.images(images) @ clip.texts(TEXTS).T
    model, tokenizer = CLIPModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(TEXTS, padding="max_length", max_length=16, return_tensors="pt")
    with torch.no_grad():
        output = model(
            input_ids=tokens["input_ids"],
            attention_mask=tokens["attention_mask"],
            pixel_values=((images + 1) / 2 - clip.mean) / clip.std,
        )
    expected = output.logits_per_image / model.logit_scale.exp()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert clip.digest == sha256(folder / "model.safetensors")


def test_quality_is_the_share_of_good(folder: Path) -> None:
    clip = Clip.load(folder)
    images = clip.images(pictures(32, 64))
    good, bad = (100 * images @ clip.texts(QUALITIES).T).T
    torch.testing.assert_close(clip.quality(images), torch.sigmoid(good - bad))


def test_both_rewards_reach_every_pixel(folder: Path) -> None:
    clip, images = Clip.load(folder), pictures(48, 96).requires_grad_()
    embedded = clip.images(images)
    for reward in ((embedded * clip.texts(TEXTS)).sum(), clip.quality(embedded).sum()):
        (gradient,) = torch.autograd.grad(reward, images, retain_graph=True)
        assert (gradient != 0).float().mean() > 0.9
    assert not any(parameter.requires_grad for parameter in clip.parameters())


def test_a_folder_that_is_no_clip(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"is no CLIP: it has no model\.safetensors"):
        Clip.load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(UsageError, match="cannot be read as a CLIP") as raised:
        Clip.load(tmp_path)
    assert "\n" not in str(raised.value)
