"""UNO's keys: all of FLUX.1-dev's, there and back, and beside diffusers' own reading of them."""

import pytest
import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from torch import Tensor

from umo.bases.embedded import tiny
from umo.bases.flux_reference import lora_targets
from umo.bases.lora import sizes_of
from umo.errors import DiffersError
from umo.formats.lora import DIFFUSERS, Lora, Names, Pair, Sizes, gather, scatter
from umo.formats.uno import from_uno, fuse, is_uno, read_any, to_uno

HIDDEN, RANK = 3072, 8


@pytest.fixture(scope="module")
def sizes() -> Sizes:
    """Of FLUX.1-dev, without its weights."""
    with torch.device("meta"):
        model = FluxTransformer2DModel(guidance_embeds=True)
    return sizes_of(model, lora_targets(model))


@pytest.fixture(scope="module")
def native() -> dict[str, Tensor]:
    """A file with UNO's 304 tensors."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"qkv": (HIDDEN, 3 * HIDDEN), "proj": (HIDDEN, HIDDEN), "out": (5 * HIDDEN, HIDDEN)}
    stems = {
        f"double_blocks.{block}.processor.{kind}_lora{stream}": shapes[kind]
        for block in range(19)
        for kind in ("qkv", "proj")
        for stream in (1, 2)
    }
    for block in range(38):
        stems[f"single_blocks.{block}.processor.qkv_lora"] = shapes["qkv"]
        stems[f"single_blocks.{block}.processor.proj_lora"] = shapes["out"]
    tensors = {}
    for stem, (inputs, outputs) in stems.items():
        tensors[f"{stem}.down.weight"] = torch.randn(RANK, inputs, generator=generator)
        tensors[f"{stem}.up.weight"] = torch.randn(outputs, RANK, generator=generator)
    return {key: tensor.bfloat16() for key, tensor in tensors.items()}


def product(pair: Pair) -> Tensor:
    return pair.up @ pair.down


def test_all_of_unos_tensors_go_there_and_back_bit_by_bit(
    sizes: Sizes, native: dict[str, Tensor]
) -> None:
    assert len(native) == 304
    assert is_uno(native)
    lora = from_uno(native, sizes)
    assert list(lora) == list(sizes)
    again = to_uno(fuse(lora))
    assert again.keys() == native.keys()
    assert all(torch.equal(again[key], native[key]) for key in native)
    assert {tensor.dtype for tensor in again.values()} == {torch.bfloat16}
    assert "single_blocks.37.processor.qkv_lora.up.weight" in again
    assert "double_blocks.18.processor.qkv_lora2.up.weight" in again


def test_diffusers_reads_unos_file_as_we_do(sizes: Sizes, native: dict[str, Tensor]) -> None:
    theirs = FluxPipeline.lora_state_dict(dict(native))
    ours = scatter(from_uno(native, sizes), DIFFUSERS)
    assert len(theirs) == 608
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[key], ours[key]) for key in ours)


@pytest.mark.parametrize("fault", ["missing", "renamed", "shape", "foreign"])
def test_a_file_that_does_not_fit_is_refused_by_unos_names(
    sizes: Sizes, native: dict[str, Tensor], fault: str
) -> None:
    key = "single_blocks.5.processor.proj_lora.down.weight"
    tensors = dict(native)
    if fault == "foreign":
        key = "double_blocks.19.processor.qkv_lora1.down.weight"
        tensors[key] = torch.zeros(RANK, HIDDEN)
    else:
        tensor = tensors.pop(key)
        if fault == "renamed":
            tensors[key.replace("proj", "prj")] = tensor
        if fault == "shape":
            tensors[key] = tensor[:, :-1]
    with pytest.raises(DiffersError, match=key.replace(".", r"\.")):
        read_any(tensors, sizes)


@pytest.fixture(scope="module")
def small() -> tuple[Sizes, Lora]:
    """A LoRA of a tiny base whose queries, keys and values share nothing."""
    transformer = tiny(0).parts.transformer
    sizes = sizes_of(transformer, lora_targets(transformer))
    generator = torch.Generator().manual_seed(1)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    lora = {
        layer: Pair(down=noise(4, inputs), up=noise(outputs, 4))
        for layer, (inputs, outputs) in sizes.items()
    }
    return sizes, lora


def test_layers_that_share_nothing_are_fused_exactly(small: tuple[Sizes, Lora]) -> None:
    sizes, lora = small
    fused = fuse(lora)
    assert {pair.up.shape[1] for pair in fused.values()} == {12}
    back = from_uno(to_uno(fused), sizes)
    for layer, pair in lora.items():
        assert torch.allclose(product(back[layer]), product(pair), atol=1e-5)
    assert to_uno(fuse(back)).keys() == to_uno(fused).keys()
    for name, pair in fuse(back).items():
        assert torch.equal(pair.down, fused[name].down)
        assert torch.equal(pair.up, fused[name].up)


def test_a_fused_layer_does_what_its_three_layers_do(small: tuple[Sizes, Lora]) -> None:
    _, lora = small
    block = "transformer_blocks.0.attn"
    x = torch.randn(5, lora[f"{block}.to_q"].down.shape[1])
    three = [x @ product(lora[f"{block}.{layer}"]).T for layer in ("to_q", "to_k", "to_v")]
    fused = product(fuse(lora)["double_blocks.0.processor.qkv_lora1"])
    assert torch.allclose(x @ fused.T, torch.cat(three, dim=1), atol=1e-4)
    text = product(fuse(lora)["double_blocks.0.processor.proj_lora2"])
    assert torch.allclose(text, product(lora[f"{block}.to_add_out"]), atol=1e-5)


def test_keys_with_and_without_diffusers_prefix_are_the_same(small: tuple[Sizes, Lora]) -> None:
    sizes, lora = small
    for names in (DIFFUSERS, Names()):
        read = read_any(scatter(lora, names), sizes)
        assert all(torch.equal(read[layer].up, lora[layer].up) for layer in lora)


def test_two_ranks_in_a_file_are_refused(small: tuple[Sizes, Lora]) -> None:
    sizes, lora = small
    layer = next(iter(lora))
    mixed = {**lora, layer: Pair(down=lora[layer].down[:2], up=lora[layer].up[:, :2])}
    with pytest.raises(DiffersError, match=rf"LoRA ranks \[2, 4\].*{layer}"):
        gather(scatter(mixed, Names()), sizes, Names())
