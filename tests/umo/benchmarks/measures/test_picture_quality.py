import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoProcessor, SiglipModel

from umo.benchmarks.measures.measure import Painted
from umo.benchmarks.measures.picture_quality import HEAD, PictureQuality
from umo.errors import DiffersError, NotFoundError


def test_it_is_ten_times_what_the_head_says(siglip: Path, painted: Painted) -> None:
    values = PictureQuality(str(siglip)).of(painted)
    model = SiglipModel.from_pretrained(siglip).eval()
    processor = AutoProcessor.from_pretrained(siglip)
    head = load_file(siglip / HEAD)
    for value, picture in zip(values, painted.pictures, strict=True):
        pixels = processor(images=[Image.fromarray(picture)], return_tensors="pt")
        with torch.no_grad():
            x = model.get_image_features(**pixels).pooler_output[0]
        x = x / x.norm()
        for layer in (0, 2, 4, 6, 8):
            x = head[f"scoring_head.{layer}.weight"] @ x + head[f"scoring_head.{layer}.bias"]
        assert value == pytest.approx(10 * float(x), abs=1e-3)
    assert len({round(value or 0, 2) for value in values}) == 3


def test_the_head_is_strict(siglip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "siglip"
    shutil.copytree(siglip, folder)
    head = load_file(folder / HEAD)
    head["scoring_head.9.bias"] = head.pop("scoring_head.8.bias")
    save_file(head, folder / HEAD)
    with pytest.raises(DiffersError, match=r"not the head .* missing: .*8\.bias; unexpected: .*9"):
        PictureQuality(str(folder))
    (folder / HEAD).unlink()
    with pytest.raises(NotFoundError, match=r"no aesthetic head at .*; put it beside the encoder"):
        PictureQuality(str(folder))
