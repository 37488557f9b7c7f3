"""Prompt following and picture quality by CLIP, with gradient to the pixels.

    prompt following   cos(image, prompt)                                     CLIP score, and what
                       PickScore (arXiv 2305.01569) is with its own weights
    picture quality    softmax(100 cos(image, [good, bad]))[good]             CLIP-IQA
                       with "Good photo." and "Bad photo." (arXiv 2207.12396)

Any model of transformers' class `CLIPModel` will do, from a folder as `save_pretrained` writes it.
Unlike CLIP's own preparation the whole picture is squeezed into its square: nobody at the edge of a
group is cut off.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoTokenizer, CLIPModel, PreTrainedTokenizerBase
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from umo.errors import NotFoundError, UsageError
from umo.files import sha256

WEIGHTS = "model.safetensors"
QUALITIES = ("Good photo.", "Bad photo.")
SCALE = 100.0
"""Of the cosines, as CLIP was trained."""


class Clip(nn.Module):
    """A frozen CLIP.

    Args:
        model: Compares pictures and texts.
        tokenizer: Of its texts.
        digest: sha256 of its weights.
    """

    mean: Tensor
    std: Tensor
    qualities: Tensor
    """Embeddings of `QUALITIES`."""
    _model: Any

    def __init__(self, model: CLIPModel, tokenizer: PreTrainedTokenizerBase, digest: str) -> None:
        super().__init__()
        self.digest = digest
        self._model = model.eval().requires_grad_(False)
        self._tokenizer = tokenizer
        self._size: int = model.config.vision_config.image_size
        for name, values in (("mean", OPENAI_CLIP_MEAN), ("std", OPENAI_CLIP_STD)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1))
        self.register_buffer("qualities", self.texts(QUALITIES))

    @classmethod
    def load(cls, folder: Path) -> "Clip":
        """Read a folder of transformers.

        Raises:
            NotFoundError: It has no `model.safetensors`.
            UsageError: It cannot be read as a CLIP.
        """
        weights = folder / WEIGHTS
        if not weights.is_file():
            raise NotFoundError(
                f"{folder} is no CLIP: it has no {WEIGHTS}",
                hint="name a folder of transformers' CLIPModel with its tokenizer",
            )
        try:
            model = CLIPModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            reason = " ".join(str(error).split())
            raise UsageError(f"{folder} cannot be read as a CLIP: {reason}") from error
        return cls(model, tokenizer, sha256(weights))

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """Unit embeddings `[n,D]` of texts; what is too long is cut off."""
        model = self._model
        tokens = self._tokenizer(
            list(texts),
            padding="max_length",
            truncation=True,
            max_length=model.config.text_config.max_position_embeddings,
            return_tensors="pt",
        ).to(self.mean.device)
        pooled = model.text_model(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        ).pooler_output
        embeddings: Tensor = F.normalize(model.text_projection(pooled), dim=1)
        return embeddings

    def images(self, pictures: Tensor) -> Tensor:
        """Unit embeddings `[n,D]` of pictures `[n,3,H,W]` in -1..1, with gradient."""
        square = F.interpolate(
            pictures, (self._size, self._size), mode="bicubic", antialias=True, align_corners=False
        )
        pixels = ((square + 1) / 2 - self.mean) / self.std
        pooled = self._model.vision_model(pixel_values=pixels).pooler_output
        embeddings: Tensor = F.normalize(self._model.visual_projection(pooled), dim=1)
        return embeddings

    def quality(self, images: Tensor) -> Tensor:
        """Share `[n]` of good against bad, 0..1, of embeddings `[n,D]`."""
        logits: Tensor = SCALE * images @ self.qualities.T
        return logits.softmax(dim=1)[:, 0]
