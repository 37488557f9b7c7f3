import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import ViTModel

from umo.benchmarks.measures.measure import load, origin
from umo.errors import NotFoundError, UsageError
from umo.files import sha256


def copied(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    return target


def test_a_model_is_known_by_the_digest_of_its_weights(dino: Path) -> None:
    model = load(ViTModel, str(dino), add_pooling_layer=False)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    digest = sha256(dino / "model.safetensors")
    assert origin(str(dino), model) == f"model.safetensors {digest}"


def test_a_weight_that_is_not_there_is_refused(dino: Path, tmp_path: Path) -> None:
    folder = copied(dino, tmp_path / "dino")
    weights = load_file(folder / "model.safetensors")
    name = sorted(weights)[0]
    weights["extra"] = weights.pop(name)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match=rf"is no ViTModel, it has missing keys: {name}"):
        load(ViTModel, str(folder), add_pooling_layer=False)
    weights[name] = weights["extra"].clone()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match="it has unexpected keys: extra"):
        load(ViTModel, str(folder), add_pooling_layer=False)


def test_a_pickle_is_not_read(dino: Path, tmp_path: Path) -> None:
    folder = copied(dino, tmp_path / "dino")
    weights = load_file(folder / "model.safetensors")
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UsageError, match=r"cannot be read .* by `umo evaluate convert`"):
        load(ViTModel, str(folder), add_pooling_layer=False)


def test_there_is_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no model folder .*; or give hub:NAME to"):
        load(ViTModel, str(tmp_path / "nowhere"))
