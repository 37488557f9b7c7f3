from pathlib import Path

import numpy as np
import torch
from transformers import ViTModel

from umo.benchmarks.measures.dino import Dino, prepared
from umo.benchmarks.measures.measure import Painted


def test_features_are_unit_class_tokens(dino: Path, painted: Painted) -> None:
    features = Dino(str(dino)).embed(painted.pictures)
    model = ViTModel.from_pretrained(dino, add_pooling_layer=False).eval()
    for feature, picture in zip(features, painted.pictures, strict=True):
        with torch.no_grad():
            token = model(pixel_values=prepared(picture)[None]).last_hidden_state[0, 0]
        torch.testing.assert_close(feature, token / token.norm(), atol=1e-5, rtol=0)
    assert (features[0] - features[1]).norm() > 0.1


def test_the_middle_of_a_picture_is_seen() -> None:
    """Of 256 x 512 pixels, rows 16 to 239 and columns 144 to 367; nothing is resized."""
    picture = np.zeros((256, 512, 3), dtype=np.uint8)
    picture[16:240, 144:368] = (255, 128, 0)
    seen = prepared(picture)
    assert seen.shape == (3, 224, 224)
    expected = [(1 - 0.485) / 0.229, (128 / 255 - 0.456) / 0.224, -0.406 / 0.225]
    torch.testing.assert_close(seen, torch.tensor(expected).view(3, 1, 1).expand(3, 224, 224))


def test_a_picture_of_any_size_is_seen() -> None:
    for height, width in ((30, 900), (224, 224), (1, 1)):
        assert prepared(np.zeros((height, width, 3), dtype=np.uint8)).shape == (3, 224, 224)
