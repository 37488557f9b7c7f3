from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoModel, AutoProcessor

from umo.benchmarks.measures.measure import Painted
from umo.benchmarks.measures.prompt_following import PromptFollowing
from umo.errors import UsageError


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_it_is_the_cosine_of_text_and_picture(
    kind: str, painted: Painted, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(kind)
    values = PromptFollowing(str(folder)).of(painted)
    model = AutoModel.from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder)
    text = processor(text=[painted.prompt], padding="max_length", return_tensors="pt")
    for value, picture in zip(values, painted.pictures, strict=True):
        pixels = processor(images=[Image.fromarray(picture)], return_tensors="pt")
        with torch.no_grad():
            word = model.get_text_features(**text).pooler_output[0]
            seen = model.get_image_features(**pixels).pooler_output[0]
        cosine = float(torch.cosine_similarity(word, seen, dim=0))
        assert value == pytest.approx(100 * max(cosine, 0), abs=1e-3)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_another_prompt_has_another_value_and_a_long_one_is_cut(
    kind: str, painted: Painted, request: pytest.FixtureRequest
) -> None:
    measure = PromptFollowing(str(request.getfixturevalue(kind)))
    values = [
        measure.of(replace(painted, prompt=prompt))
        for prompt in ("a cat/on a mat\n", "word " * 100, "word " * 200)
    ]
    assert max(value or 0 for row in values for value in row) > 0
    assert values[0] != values[1]
    if kind == "siglip":
        assert values[1] == values[2]


def test_another_kind_of_model_is_refused(dino: Path) -> None:
    with pytest.raises(UsageError, match=r"is a model 'vit', not one of clip, siglip|missing keys"):
        PromptFollowing(str(dino))
