"""The diffusers pipeline beside our own roll-out: the same model, noise and references."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from services.bases import tiny_flux
from umo.bases.flux_reference import FluxReference
from umo.bases.references import uno_reference
from umo.bases.uno_pipeline import UNOFluxPipeline
from umo.files import write_manifest
from umo.pixels import to_float
from umo.training.rollout import denoise

PROMPT = "Two people side by side in a park"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flux")
    base = tiny_flux()
    base.save(path)
    write_manifest(path, {"kind": "base", "name": "tiny-flux"})
    generator = torch.Generator().manual_seed(3)
    for parameter in base.add_lora(4, seed=0):
        parameter.data = torch.randn(parameter.shape, generator=generator) / 8
    base.save_lora(path.parent / "lora.safetensors")
    return path


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> UNOFluxPipeline:
    made = UNOFluxPipeline.from_pretrained(folder)
    made.set_progress_bar_config(disable=True)
    return made


def people() -> list[Image.Image]:
    noise = np.random.default_rng(0)
    return [
        Image.fromarray(noise.integers(0, 255, (*size, 3), np.uint8))
        for size in ((96, 128), (140, 96))
    ]


def noise(seed: int = 1) -> Tensor:
    return torch.randn(1, 16, 8, 12, generator=torch.Generator().manual_seed(seed))


def ours(base: FluxReference, references: list[Image.Image]) -> Tensor:
    pictures = [to_float(torch.from_numpy(np.array(uno_reference(r, 64)))) for r in references]
    conditioning = base.encode([PROMPT], [pictures])
    sigmas, stops = base.sigmas(6, 64, 96), torch.tensor([[6]])
    return denoise(base, noise(), conditioning, sigmas, stops, guidance=4.0)[:, 0]


def theirs(pipeline: UNOFluxPipeline, references: list[Image.Image], **options: object) -> Tensor:
    return pipeline(
        PROMPT,
        references,
        height=64,
        width=96,
        num_inference_steps=6,
        latents=noise(),
        reference_size=64,
        max_sequence_length=pipeline.tokenizer_2.model_max_length,
        output_type="latent",
        **options,
    ).images


def certain(pipeline: UNOFluxPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the autoencoder draw its mean, as training does."""
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution as Posterior

    monkeypatch.setattr(Posterior, "sample", lambda self, generator=None: self.mode())


@pytest.mark.parametrize("count", [0, 1, 2])
def test_it_paints_what_our_roll_out_paints(
    folder: Path, pipeline: UNOFluxPipeline, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    certain(pipeline, monkeypatch)
    references = people()[:count]
    expected = ours(FluxReference.load(folder), references)
    assert torch.allclose(theirs(pipeline, references), expected, atol=1e-5)


def test_a_lora_of_ours_is_loaded_by_diffusers_own_loader(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = UNOFluxPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    certain(pipeline, monkeypatch)
    before = theirs(pipeline, people())
    pipeline.load_lora_weights(folder.parent, weight_name="lora.safetensors")
    base = FluxReference.load(folder)
    base.load_lora(folder.parent / "lora.safetensors")
    after = theirs(pipeline, people())
    assert torch.allclose(after, ours(base, people()), atol=1e-5)
    assert not torch.allclose(after, before, atol=1e-3)


def test_pictures_depend_on_the_seed_and_on_nothing_else(pipeline: UNOFluxPipeline) -> None:
    def paint(seed: int) -> list[Image.Image]:
        generator = torch.Generator().manual_seed(seed)
        return pipeline(
            [PROMPT, "One person on a beach"],
            people(),
            height=70,
            width=96,
            num_inference_steps=2,
            num_images_per_prompt=2,
            generator=generator,
        ).images

    first, again, other = paint(0), paint(0), paint(1)
    assert [one.size for one in first] == [(96, 64)] * 4
    assert first == again
    assert first != other
    assert len({one.tobytes() for one in first}) == 4


def test_a_callback_sees_every_step_and_may_change_it(pipeline: UNOFluxPipeline) -> None:
    seen = []

    def look(_: object, step: int, sigma: float, facts: dict[str, Tensor]) -> dict[str, Tensor]:
        seen.append((step, sigma))
        return {"latents": torch.zeros_like(facts["latents"])} if step == 5 else {}

    assert not theirs(pipeline, people(), callback_on_step_end=look).any()
    assert [step for step, _ in seen] == list(range(6))
    assert seen[0][1] == 1.0


def test_a_prompt_is_needed(pipeline: UNOFluxPipeline) -> None:
    with pytest.raises(ValueError, match="prompt"):
        pipeline(None, people())
