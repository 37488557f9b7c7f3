"""An engine with an untrained base, which paints noise at once, and pictures to give it."""

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from umo.bases.embedded import tiny
from umo.bases.flux_reference import FluxReference
from umo.faces.packs import FacePack, load_pack
from umo.files import write_manifest
from umo_serving.engine import Engine
from umo_serving.steady import steady


def png(picture: Image.Image) -> bytes:
    stream = BytesIO()
    picture.save(stream, format="PNG")
    return stream.getvalue()


@pytest.fixture(scope="session")
def people() -> list[bytes]:
    """Four different pictures."""
    noise = np.random.default_rng(0)
    return [png(Image.fromarray(noise.integers(0, 255, (96, 96, 3), np.uint8))) for _ in range(4)]


@pytest.fixture(scope="session")
def pack() -> FacePack:
    return load_pack("open")


def tuned(seed: int = 0) -> FluxReference:
    """An untrained base called `embedded`, with a LoRA that does something."""
    return adapted(tiny(seed), seed)


def adapted(model: FluxReference, seed: int) -> FluxReference:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.add_lora(4, seed=seed):
        parameter.data = torch.randn(parameter.shape, generator=generator) / 8
    model.transformer.requires_grad_(False)
    return model


@pytest.fixture
def engine(pack: FacePack) -> Iterator[Engine]:
    model = tuned()
    steady(model.transformer)
    made = Engine(model, pack, version="7", digest="d" * 64)
    yield made
    made.close()


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A folder as `umo train` leaves it, for a base that is in `tmp_path/base`."""
    model = tiny(0)
    base, folder = tmp_path / "base", tmp_path / "train"
    base.mkdir()
    model.save(base)
    adapted(model, 0)
    digest = write_manifest(base, {"name": "embedded", "kind": "base"})
    folder.mkdir()
    model.save_lora(folder / "lora.safetensors")
    write_manifest(folder, {"kind": "lora", "base": {"name": "embedded", "digest": digest}})
    return folder


def change_manifest(folder: Path, **facts: object) -> None:
    """Change what a manifest says, not its files."""
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))
