"""8-bit weights: what they take, and how far a picture moves, beside bfloat16."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from services.bases import tiny_flux, tiny_flux2
from umo.bases.int8 import Int8Linear, to_int8
from umo.bases.omnigen2_tiny import tiny as tiny_omnigen2
from umo.bases.uno_pipeline import UNOFluxPipeline
from umo.training.memory import choose_precision

BASES = pytest.mark.parametrize(
    "make", [tiny_flux, tiny_flux2, tiny_omnigen2], ids=["flux", "flux2", "omnigen2"]
)


def velocity(base: Any, dtype: str = "float32") -> Tensor:
    generator = torch.Generator().manual_seed(2)
    references = [[torch.rand(3, 64, 96, generator=generator) for _ in range(2)]]
    latents = torch.randn(1, *base.latent_shape(64, 64), generator=generator)
    with torch.no_grad(), choose_precision(dtype, torch.device("cpu")).autocast(latents.device):
        conditioning = base.encode(["Two people in a park"], references)
        found: Tensor = base.velocity(latents, torch.tensor([0.6]), conditioning, guidance=1.0)
    return found.float()


def error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@BASES
def test_velocities_move_little(make: Callable[[int], Any]) -> None:
    exact = velocity(make(0))
    low = make(0)
    low.transformer.to(torch.bfloat16)
    half = error(velocity(low, "bfloat16"), exact)
    small = make(0)
    for network in small.large:
        to_int8(network)
    eighth = error(velocity(small), exact)
    assert 0 < eighth < 0.03
    assert eighth < 10 * half


@BASES
def test_blocks_take_a_byte_for_a_weight(make: Callable[[int], Any]) -> None:
    base = make(0)
    for network in base.large:
        to_int8(network)
    blocks = [
        layer
        for part in base.transformer.children()
        if isinstance(part, nn.ModuleList)
        for layer in part.modules()
        if isinstance(layer, nn.Linear)
    ]
    assert blocks
    assert all(isinstance(layer, Int8Linear) for layer in blocks)
    assert {layer.weight.element_size() for layer in blocks} == {1}
    outside = [child for child in base.transformer.children() if isinstance(child, nn.Linear)]
    assert not any(isinstance(layer, Int8Linear) for layer in outside)


def test_unos_pipeline_paints_in_8_bits_after_its_lora_is_fused(tmp_path: Any) -> None:
    base = tiny_flux()
    base.save(tmp_path)
    for parameter in base.add_lora(2, seed=0):
        nn.init.normal_(parameter, std=0.2)
    base.save_lora(tmp_path / "lora.safetensors")
    people = [Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))]

    def paint(pipeline: UNOFluxPipeline) -> Tensor:
        pipeline.set_progress_bar_config(disable=True)
        latents = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(1))
        return pipeline(
            "Two people",
            people,
            height=64,
            width=64,
            num_inference_steps=4,
            latents=latents,
            generator=torch.Generator().manual_seed(0),
            reference_size=64,
            max_sequence_length=16,
            output_type="latent",
        ).images

    pipeline = UNOFluxPipeline.from_pretrained(tmp_path)
    pipeline.load_lora_weights(tmp_path, weight_name="lora.safetensors")
    exact = paint(pipeline)
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()
    for network in (pipeline.transformer, pipeline.text_encoder_2):
        to_int8(network)
    assert 0 < error(paint(pipeline), exact) < 0.03
