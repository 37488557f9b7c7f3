"""FLUX.2 behind our protocol beside diffusers' own pipeline: same weights, noise, references."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from services.bases import tiny_flux2
from umo.bases.flux2 import Flux2Reference, position_ids
from umo.errors import DiffersError, UsageError
from umo.files import write_manifest
from umo.formats import lora as formats
from umo.pixels import to_float
from umo.training.rollout import denoise

PROMPT = "Two people side by side in a park"


@pytest.fixture(scope="module", params=[True, False], ids=["distilled", "guided"])
def base(request: pytest.FixtureRequest) -> Flux2Reference:
    made = tiny_flux2(distilled=request.param)
    made.pipeline.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(scope="module")
def distilled() -> Flux2Reference:
    return tiny_flux2()


def people() -> list[Image.Image]:
    noise = np.random.default_rng(0)
    return [
        Image.fromarray(noise.integers(0, 255, (*size, 3), np.uint8))
        for size in ((64, 96), (96, 64))
    ]


def noise() -> Tensor:
    return torch.randn(1, 16, 4, 6, generator=torch.Generator().manual_seed(1))


def floats(pictures: list[Image.Image]) -> list[Tensor]:
    return [to_float(torch.from_numpy(np.array(picture))) for picture in pictures]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_roll_out_is_the_pipelines(base: Flux2Reference, count: int) -> None:
    references = people()[:count]
    theirs = base.pipeline(
        image=references or None,
        prompt=PROMPT,
        height=64,
        width=96,
        num_inference_steps=5,
        guidance_scale=3.0,
        latents=noise(),
        output_type="pt",
    ).images
    conditioning = base.encode([PROMPT], [floats(references)])
    sigmas, stops = base.sigmas(5, 64, 96), torch.tensor([[5]])
    clean = denoise(base, noise(), conditioning, sigmas, stops, guidance=3.0)[:, 0]
    ours = (base.decode(clean) / 2 + 0.5).clamp(0, 1)
    assert ours.shape == (1, 3, 64, 96)
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_guidance_is_for_the_model_that_is_not_distilled(base: Flux2Reference) -> None:
    conditioning = base.encode([PROMPT], [floats(people())])
    low, high = (
        base.velocity(noise(), torch.tensor([0.7]), conditioning, guidance=guidance)
        for guidance in (1.0, 3.0)
    )
    assert torch.equal(low, high) == base.pipeline.config["is_distilled"]


def test_references_are_ten_apart_in_time() -> None:
    ids = position_ids([(2, 3), (1, 2), (2, 1)])
    assert ids.shape == (10, 4)
    assert ids[:, 0].tolist() == [0] * 6 + [10] * 2 + [20] * 2
    assert ids[4].tolist() == [0, 1, 1, 0]
    assert ids[-1].tolist() == [20, 1, 0, 0]


def test_the_training_table_is_one_of_noise_levels(distilled: Flux2Reference) -> None:
    table = distilled.sigmas(999, 512, 512)
    assert len(table) == 1000
    assert (table[0], table[-1]) == (1, 0)
    assert bool((table.diff() < 0).all())
    assert 0.5 < table[500] < 0.9


def test_pictures_survive_as_far_as_the_autoencoder_lets_them(distilled: Flux2Reference) -> None:
    picture = floats(people())[0][None]
    vae = distilled.pipeline.vae
    direct = vae.decode(vae.encode(picture).latent_dist.mode()).sample
    assert torch.allclose(distilled.decode(distilled.encode_images(picture)), direct, atol=1e-4)
    with pytest.raises(UsageError, match="multiples of 16"):
        distilled.latent_shape(100, 96)


def test_gradients_reach_every_lora_matrix_and_nothing_else(distilled: Flux2Reference) -> None:
    conditioning = distilled.encode([PROMPT], [floats(people())])
    parameters = distilled.add_lora(2, seed=0)
    try:
        for parameter in parameters:
            torch.nn.init.normal_(parameter, std=0.1)
        velocity = distilled.velocity(noise(), torch.tensor([0.5]), conditioning, guidance=1.0)
        distilled.decode(noise() - 0.5 * velocity).square().mean().backward()
        trained = [p for p in distilled.transformer.parameters() if p.requires_grad]
        assert len(trained) == len(parameters) == 2 * len(distilled.lora_targets())
        assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in trained)
        frozen = [p for p in distilled.transformer.parameters() if not p.requires_grad]
        assert all(p.grad is None for p in frozen)
    finally:
        distilled.without_lora()


def test_a_saved_folder_and_lora_load_the_same(distilled: Flux2Reference, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    distilled.save(folder)
    write_manifest(folder, {"kind": "base", "name": "tiny-flux2"})
    loaded = Flux2Reference.load(folder)
    conditioning = distilled.encode([PROMPT], [floats(people())])

    def velocity(model: Flux2Reference) -> Tensor:
        return model.velocity(noise(), torch.tensor([0.5]), conditioning, guidance=1.0)

    assert torch.allclose(velocity(loaded), velocity(distilled), atol=1e-6)
    for parameter in distilled.add_lora(2, seed=0):
        torch.nn.init.normal_(parameter, std=0.1)
    tuned = velocity(distilled)
    distilled.save_lora(tmp_path / "lora.safetensors")
    distilled.without_lora()
    loaded.load_lora(tmp_path / "lora.safetensors")
    assert torch.allclose(velocity(loaded), tuned, atol=1e-6)

    tensors = formats.read(tmp_path / "lora.safetensors")
    key = next(key for key in tensors if "to_qkv_mlp_proj" in key)
    del tensors[key]
    formats.write(tmp_path / "lora.safetensors", tensors)
    with pytest.raises(DiffersError, match=key.replace(".", r"\.")):
        loaded.load_lora(tmp_path / "lora.safetensors")
