"""A LoRA trained on UNO's architecture is one of its fused projections, and stays one."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from services.bases import tiny_flux
from services.tiny_training import tiny_dataset, tiny_pack
from umo.bases.flux_reference import FluxReference
from umo.bases.lora import ADAPTER
from umo.errors import UsageError
from umo.files import read_manifest, sha256, write_manifest
from umo.formats.lora import DIFFUSERS, read, scatter, write
from umo.formats.uno import fuse, is_uno, to_uno
from umo.steps import export
from umo.training.config import RereflConfig
from umo.training.rerefl import train

QKV = [f"single_transformer_blocks.0.attn.to_{name}" for name in "qkv"]


def velocity(model: FluxReference) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    references = [[torch.rand(3, 64, 32, generator=generator) for _ in range(2)]]
    conditioning = model.encode(["Two people in a park"], references)
    latents = torch.randn(1, *model.latent_shape(64, 96), generator=generator)
    return model.velocity(latents, torch.tensor([0.6]), conditioning, guidance=4.0)


def down(model: FluxReference, layer: str) -> torch.nn.Parameter:
    found: torch.nn.Parameter = model.transformer.get_submodule(layer).lora_A[ADAPTER].weight
    return found


@pytest.fixture
def trained() -> FluxReference:
    model = tiny_flux()
    optimizer = torch.optim.AdamW(model.add_lora(4, seed=0), lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        velocity(model).square().mean().backward()
        optimizer.step()
    return model


def test_what_was_trained_has_unos_keys_at_its_own_rank(
    trained: FluxReference, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    base.mkdir()
    tiny_flux().save(base)
    write_manifest(base, {"kind": "base", "name": "tiny-flux"})
    trained.save_lora(tmp_path / "lora.safetensors")
    made = export.run(tmp_path / "lora.safetensors", base, "uno", tmp_path / "uno")
    assert made["rank"] == 4
    tensors = load_file(tmp_path / "uno" / "lora.safetensors")
    assert is_uno(tensors)
    assert len(tensors) == 2 * (4 + 2)
    assert tensors["double_blocks.0.processor.qkv_lora2.down.weight"].shape == (4, 32)
    assert tensors["double_blocks.0.processor.qkv_lora2.up.weight"].shape == (96, 4)
    again = FluxReference.load(base)
    before = velocity(again)
    again.load_lora(tmp_path / "uno" / "lora.safetensors")
    assert torch.allclose(velocity(again), velocity(trained), atol=1e-6)
    assert not torch.allclose(velocity(again), before, atol=1e-3)


def test_training_goes_on_from_a_file(trained: FluxReference, tmp_path: Path) -> None:
    trained.save_lora(tmp_path / "lora.safetensors")
    start = trained.read_lora(read(tmp_path / "lora.safetensors"))
    write(tmp_path / "uno.safetensors", to_uno(fuse(start)))
    model = tiny_flux()
    lora = model.continue_lora(tmp_path / "uno.safetensors")
    assert torch.allclose(velocity(model), velocity(trained), atol=1e-6)
    assert len(lora) == len(tiny_flux().add_lora(4, seed=0))
    velocity(model).square().mean().backward()
    assert all(parameter.grad is not None for parameter in lora)
    assert down(model, QKV[2]) is down(model, QKV[0])


def test_a_run_begins_with_the_lora_that_it_is_given(tmp_path: Path) -> None:
    first = tiny_flux()
    for parameter in first.add_lora(4, seed=5):
        torch.nn.init.normal_(parameter, std=0.1)
    first.save_lora(tmp_path / "start.safetensors")
    config = RereflConfig(
        steps=1, batch=2, points=1, rank=4, lr=1e-9, rollout_steps=2, window=(1, 2), warmup=0
    )
    dataset, pack = tiny_dataset(tmp_path / "data"), tiny_pack()
    given = {"dataset": dataset, "pack": pack, "start": tmp_path / "start.safetensors"}
    train(config, base=tiny_flux(), out=tmp_path / "run", **given)
    begun, ended = (read(tmp_path / name) for name in ("start.safetensors", "run/lora.safetensors"))
    assert all(torch.allclose(ended[key], begun[key], atol=1e-6) for key in begun)
    assert read_manifest(tmp_path / "run")["start"] == sha256(tmp_path / "start.safetensors")
    with pytest.raises(UsageError, match=r"rank is 8, .* has 4; set rank to 4"):
        train(replace(config, rank=8), base=tiny_flux(), out=tmp_path / "other", **given)


def test_its_gradient_is_the_sum_of_what_three_would_get(trained: FluxReference) -> None:
    trained.transformer.zero_grad()
    velocity(trained).square().mean().backward()
    together = down(trained, QKV[0]).grad
    assert down(trained, QKV[1]) is down(trained, QKV[0])
    for layer in QKV:
        module = trained.transformer.get_submodule(layer).lora_A[ADAPTER]
        module.weight = torch.nn.Parameter(module.weight.detach().clone())
    velocity(trained).square().mean().backward()
    alone = [down(trained, layer).grad for layer in QKV]
    assert torch.allclose(together, sum(alone), rtol=1e-4, atol=1e-8)


def test_a_file_with_three_of_its_own_keeps_them(tmp_path: Path) -> None:
    file, model = tmp_path / "lora.safetensors", tiny_flux()
    model.add_lora(2, seed=0)
    model.save_lora(file)
    generator = torch.Generator().manual_seed(0)
    tensors = {key: torch.randn(t.shape, generator=generator) for key, t in read(file).items()}
    write(file, tensors)
    model.load_lora(file)
    lora = model.read_lora(tensors)
    for layer in QKV:
        assert torch.equal(down(model, layer), lora[layer].down)
    model.save_lora(tmp_path / "again.safetensors")
    again = scatter(model.read_lora(read(tmp_path / "again.safetensors")), DIFFUSERS)
    assert all(torch.equal(again[key], tensors[key]) for key in tensors)
