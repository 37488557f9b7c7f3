"""Picture quality: aesthetic-predictor-v2.5, a small head on SigLIP (discus0434, AGPL-3.0).

The head maps the unit pooled feature of `google/siglip-so400m-patch14-384` through five linear
layers, with nothing between them, to a score of 1 to 10; the value is 10 times that. XVerse's
scripts score a grid of four pictures as one picture; here each is scored for itself.
"""

from pathlib import Path

import torch
from PIL import Image as Pillow
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from transformers import AutoImageProcessor, SiglipVisionModel

from umo.benchmarks.measures.measure import Painted, load, load_processor, origin
from umo.errors import DiffersError, NotFoundError, UsageError
from umo.keys import differences

HEAD = "aesthetic_predictor_v2_5.safetensors"
"""Of the head, beside the encoder; `umo evaluate convert` makes it of the published `.pth`."""
WIDTHS = (1024, 128, 64, 16, 1)
"""Of what each linear layer gives."""


class PictureQuality:
    """Measures by a head on SigLIP's picture encoder.

    Args:
        source: Folder with the encoder, its processor's settings, and the head.

    Raises:
        NotFoundError: The folder or the head is missing.
        DiffersError: The head does not fit the encoder.
    """

    name = "picture_quality"

    def __init__(self, source: str) -> None:
        head = Path(source).expanduser() / HEAD
        if not head.is_file():
            raise NotFoundError(f"no aesthetic head at {head}", hint="put it beside the encoder")
        others = ("text_model.", "logit_scale", "logit_bias")
        self._model = load(SiglipVisionModel, source, besides=others)
        self._processor = load_processor(AutoImageProcessor, source)
        self._head = load_head(head, self._model.config.hidden_size).to(self._model.device)
        self.made = {"model": origin(source, self._model)}

    @torch.no_grad()
    def of(self, painted: Painted) -> list[float | None]:
        """10 times the score of each picture."""
        pictures = [Pillow.fromarray(picture) for picture in painted.pictures]
        inputs = self._processor(images=pictures, return_tensors="pt").to(self._model.device)
        features = F.normalize(self._model(**inputs).pooler_output)
        return [10 * float(score) for score in self._head(features)[:, 0]]


def load_head(path: Path, width: int) -> nn.Module:
    """The head on features of `width`, with the names of its public weights.

    Raises:
        UsageError: It is not a safetensors file.
        DiffersError: A key is missing, unexpected or of another shape.
    """
    layers: list[nn.Module] = []
    for width_out in WIDTHS:
        layers += [nn.Linear(width, width_out), nn.Dropout()]
        width = width_out
    head = nn.ModuleDict({"scoring_head": nn.Sequential(*layers[:-1])})
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise UsageError(f"{path} is not a safetensors file: {error}") from error
    expected, found = (
        {name: tuple(value.shape) for name, value in tensors.items()}
        for tensors in (head.state_dict(), weights)
    )
    if wrong := differences(expected, found):
        raise DiffersError(f"{path} is not the head of this encoder: {wrong}")
    head.load_state_dict(weights)
    return head["scoring_head"].eval().requires_grad_(False)
