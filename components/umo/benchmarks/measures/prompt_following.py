"""Prompt following: how near a picture is to its prompt for CLIP or SigLIP.

    100 * max(0, cos(text, picture))

as CLIPScore (Hessel et al. 2021, arXiv 2104.08718) without its factor of 2.5. Cosines of two models
are on two scales: compare pictures by one model alone. What a prompt has beyond the model's text
(CLIP 77 tokens, SigLIP 64) is not seen.
"""

import torch
from PIL import Image as Pillow
from transformers import AutoModel, AutoProcessor

from umo.benchmarks.measures.measure import Painted, load, load_processor, origin
from umo.errors import UsageError

KINDS = ("clip", "siglip")


class PromptFollowing:
    """Measures by CLIP (Radford et al. 2021) or SigLIP (Zhai et al. 2023).

    Args:
        source: A folder with the model, its tokenizer and its processor's settings, or `hub:NAME`.

    Raises:
        UsageError: The model is neither.
    """

    name = "prompt_following"

    def __init__(self, source: str) -> None:
        self._model = load(AutoModel, source)
        if self._model.config.model_type not in KINDS:
            raise UsageError(
                f"{source} is a model {self._model.config.model_type!r}, not one of "
                f"{', '.join(KINDS)}"
            )
        self._processor = load_processor(AutoProcessor, source)
        self.made = {"model": origin(source, self._model)}

    @torch.no_grad()
    def of(self, painted: Painted) -> list[float | None]:
        """Cosines of prompt and pictures, not below 0, x 100."""
        inputs = self._processor(
            text=[painted.prompt],
            images=[Pillow.fromarray(picture) for picture in painted.pictures],
            padding="max_length",
            truncation=True,
            return_tensors="pt",
        )
        seen = self._model(**inputs.to(self._model.device))
        cosines = (seen.image_embeds @ seen.text_embeds.T)[:, 0]
        return [100 * max(float(cosine), 0.0) for cosine in cosines]
