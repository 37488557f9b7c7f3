"""Tiny models of the real classes, with random weights, in folders as they are published."""

from importlib.resources import files as package_files
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import (
    AutoTokenizer,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPProcessor,
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2ImageProcessorPil,
    Owlv2Processor,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
    SiglipProcessor,
    ViTConfig,
    ViTModel,
)

from umo.benchmarks.measures.measure import Painted
from umo.benchmarks.measures.picture_quality import HEAD

TOKENIZER = Path(str(package_files("umo") / "assets/embedded/tokenizer"))
TINY = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


@pytest.fixture(scope="session")
def painted() -> Painted:
    """Three pictures of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), dtype=np.uint8)
    return Painted(key="1", prompt="a man and a dog", pictures=list(noise))


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer, text, vision = parts(tokens=77, side=32)
    size = {"height": 32, "width": 32}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
    processor = CLIPProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=size), tokenizer
    )
    return written(tmp_path_factory, CLIPModel(config), processor)


@pytest.fixture(scope="session")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With an aesthetic head."""
    tokenizer, text, vision = parts(tokens=64, side=32)
    config = SiglipConfig(text_config=text, vision_config=vision)
    size = {"height": 32, "width": 32}
    processor = SiglipProcessor(SiglipImageProcessorPil(size=size), tokenizer)
    folder = written(tmp_path_factory, SiglipModel(config), processor)
    generator = torch.Generator().manual_seed(1)
    widths = (16, 1024, 128, 64, 16, 1)
    head = {}
    for layer, (before, after) in enumerate(pairwise(widths)):
        at = f"scoring_head.{2 * layer}"
        head[f"{at}.weight"] = torch.randn(after, before, generator=generator) / before**0.5
        head[f"{at}.bias"] = torch.randn(after, generator=generator)
    save_file(head, folder / HEAD)
    return folder


@pytest.fixture(scope="session")
def dino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = ViTConfig(**TINY, image_size=224, patch_size=32)
    torch.manual_seed(0)
    return written(tmp_path_factory, ViTModel(config, add_pooling_layer=False))


@pytest.fixture(scope="session")
def owlv2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer, text, vision = parts(tokens=16, side=64)
    size = {"height": 64, "width": 64}
    processor = Owlv2Processor(Owlv2ImageProcessorPil(size=size), tokenizer)
    config = Owlv2Config(text_config=text, vision_config=vision, projection_dim=16)
    return written(tmp_path_factory, Owlv2ForObjectDetection(config), processor, gain=1)


def parts(*, tokens: int, side: int) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """A tokenizer, and settings of the two halves of a model of text and pictures."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(TOKENIZER, local_files_only=True)
    tokenizer.model_max_length = tokens
    text = {
        **TINY,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": tokens,
        "projection_dim": 16,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return tokenizer, text, {**TINY, "image_size": side, "patch_size": 16, "projection_dim": 16}


def written(
    factory: pytest.TempPathFactory,
    model: torch.nn.Module,
    processor: Any = None,
    *,
    gain: int = 10,
) -> Path:
    """The folder of a model, its weights `gain` times as large as transformers makes them."""
    folder = factory.mktemp(type(model).__name__)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(gain if parameter.dim() > 1 else 1)
    model.save_pretrained(folder)
    if processor:
        processor.save_pretrained(folder)
    return folder
