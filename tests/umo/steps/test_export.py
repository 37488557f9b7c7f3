"""Exports of a LoRA: what it paints, in which format soever, and what other loaders make of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FluxPipeline
from safetensors.torch import load_file, save_file
from torch import Tensor

from services.bases import tiny_flux, tiny_flux2
from umo.bases import load_base
from umo.bases.flux_reference import FluxReference
from umo.bases.lora import PeftLora
from umo.bases.omnigen2_tiny import tiny as tiny_omnigen2
from umo.errors import DiffersError, UsageError
from umo.files import read_manifest, sha256, write_manifest
from umo.formats.lora import DIFFUSERS, Names, read
from umo.steps import export

FILE = "lora.safetensors"


@pytest.fixture(scope="module")
def lora(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuned")
    model = FluxReference.load(base)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.add_lora(4, seed=0):
        parameter.data = torch.randn(parameter.shape, generator=generator) / 8
    model.save_lora(folder / FILE)
    return folder


def velocity(model: FluxReference) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    references = [[torch.rand(3, 96, 96, generator=generator) for _ in range(2)]]
    conditioning = model.encode(["Two people in a park"], references)
    latents = torch.randn(1, *model.latent_shape(96, 192), generator=generator)
    with torch.no_grad():
        return model.velocity(latents, torch.tensor([0.6]), conditioning, guidance=4.0)


def painted(base: Path, file: Path | None) -> Tensor:
    model = FluxReference.load(base)
    if file:
        model.load_lora(file)
    return velocity(model)


@pytest.mark.parametrize("to", ["diffusers", "uno", "comfyui"])
def test_every_format_paints_the_same(base: Path, lora: Path, tmp_path: Path, to: str) -> None:
    made = export.run(lora, base, to, tmp_path / to)  # type: ignore[arg-type]
    before = painted(base, lora / FILE)
    after = painted(base, tmp_path / to / FILE)
    assert not torch.allclose(before, painted(base, None), atol=1e-3)
    assert torch.allclose(after, before, atol=1e-5)
    assert made["rank"] == 4
    manifest = read_manifest(tmp_path / to, verify=True)
    assert manifest["source"] == sha256(lora / FILE)
    assert manifest["base"]["digest"] == read_manifest(base)["digest"]


def test_an_exported_file_comes_back_bit_by_bit(base: Path, lora: Path, tmp_path: Path) -> None:
    export.run(lora, base, "uno", tmp_path / "first")
    export.run(tmp_path / "first", base, "diffusers", tmp_path / "back")
    export.run(tmp_path / "back" / FILE, base, "uno", tmp_path / "second")
    first, second = (load_file(tmp_path / name / FILE) for name in ("first", "second"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    export.run(lora, base, "diffusers", tmp_path / "same")
    assert sha256(tmp_path / "same" / FILE) == sha256(lora / FILE)


def test_merged_weights_are_a_base_that_paints_the_same(
    base: Path, lora: Path, tmp_path: Path
) -> None:
    export.run(lora, base, "merged", tmp_path / "merged")
    model = load_base(str(tmp_path / "merged"))
    assert isinstance(model, FluxReference)
    assert torch.allclose(velocity(model), painted(base, lora / FILE), atol=1e-5)
    assert not any("lora" in name for name, _ in model.transformer.named_parameters())
    with pytest.raises(UsageError, match="merged weights have none"):
        export.run(lora, base, "merged", tmp_path / "other", to_rank=2)


def test_a_lower_rank_says_what_it_kept(base: Path, lora: Path, tmp_path: Path) -> None:
    made = export.run(lora, base, "uno", tmp_path, to_rank=3)
    assert made["rank"] == 3
    assert 0.3 < made["kept"]["least"] <= made["kept"]["total"] < 1
    assert {min(tensor.shape) for tensor in load_file(tmp_path / FILE).values()} == {3}


def test_diffusers_loads_what_we_write(base: Path, lora: Path, tmp_path: Path) -> None:
    before = painted(base, lora / FILE)
    for to in ("diffusers", "uno"):
        export.run(lora, base, to, tmp_path / to)  # type: ignore[arg-type]
        model = FluxReference.load(base)
        state = FluxPipeline.lora_state_dict(str(tmp_path / to), weight_name=FILE)
        FluxPipeline.load_lora_into_transformer(
            state, network_alphas=None, transformer=model.parts.transformer
        )
        assert torch.allclose(velocity(model), before, atol=1e-5)


@pytest.mark.parametrize("fault", ["missing", "renamed", "shape"])
def test_a_file_that_does_not_fit_is_refused_and_nothing_written(
    base: Path, lora: Path, tmp_path: Path, fault: str
) -> None:
    export.run(lora, base, "uno", tmp_path / "uno")
    tensors = load_file(tmp_path / "uno" / FILE)
    key = "single_blocks.0.processor.proj_lora.up.weight"
    tensor = tensors.pop(key)
    if fault == "renamed":
        tensors[key.replace("single_blocks", "singel_blocks")] = tensor
    if fault == "shape":
        tensors[key] = tensor[:-1].contiguous()
    save_file(tensors, tmp_path / "wrong.safetensors")
    with pytest.raises(DiffersError, match=key.replace(".", r"\.")):
        export.run(tmp_path / "wrong.safetensors", base, "diffusers", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("make", "formats"),
    [
        (tiny_flux, ("diffusers", "uno", "comfyui")),
        (tiny_flux2, ("diffusers",)),
        (tiny_omnigen2, ("omnigen2", "diffusers", "comfyui")),
    ],
    ids=["flux", "flux2", "omnigen2"],
)
def test_every_base_reads_its_lora_in_every_format(
    make: Callable[[int], PeftLora], formats: tuple[Any, ...], tmp_path: Path
) -> None:
    model, folder, file = make(0), tmp_path / "base", tmp_path / FILE
    folder.mkdir()
    model.save(folder)  # type: ignore[attr-defined]
    write_manifest(folder, {"kind": "base", "name": "tiny"})
    generator = torch.Generator().manual_seed(0)
    for parameter in model.add_lora(2, seed=0):
        parameter.data = torch.randn(parameter.shape, generator=generator)
    model.save_lora(file)
    layers = model.lora_sizes()
    before = model.read_lora(read(file))
    for to in formats:
        export.run(file, folder, to, tmp_path / to)
        after = model.read_lora(read(tmp_path / to / FILE))
        for layer in layers:
            product = after[layer].up @ after[layer].down
            assert torch.allclose(product, before[layer].up @ before[layer].down, atol=1e-5)
    with pytest.raises(UsageError, match="has no such; choose "):
        export.run(file, folder, "no-format", tmp_path / "none")  # type: ignore[arg-type]
    export.run(file, folder, "merged", tmp_path / "merged")
    merged = load_base(str(tmp_path / "merged"))
    layer = next(iter(layers))
    weight = make(0).transformer.get_submodule(layer).weight
    assert torch.allclose(
        merged.transformer.get_submodule(layer).weight,
        weight + before[layer].up @ before[layer].down,
        atol=1e-5,
    )


def test_keys_are_as_each_format_calls_them(base: Path, lora: Path) -> None:
    assert all(key.startswith(DIFFUSERS.prefix) for key in load_file(lora / FILE))
    assert Names().keys("a.b") == ("a.b.lora_A.weight", "a.b.lora_B.weight")
