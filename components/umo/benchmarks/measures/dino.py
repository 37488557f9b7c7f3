"""DINO features of pictures (Caron et al. 2021, arXiv 2104.14294): ViT-S/16's class token.

As XVerse's scripts prepare them: the shorter side becomes 256 pixels (bicubic), the middle
224 x 224 are kept, and ImageNet's means and deviations taken out.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor
from torch.nn import functional as F
from transformers import ViTModel

from umo.benchmarks.measures.measure import load, origin
from umo.data.schema import Image

SHORTER, SIDE = 256, 224
MEANS, DEVIATIONS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Dino:
    """Embeds pictures.

    Args:
        source: A folder with `facebook/dino-vits16` (or another ViT of DINO), or `hub:NAME`.
    """

    def __init__(self, source: str) -> None:
        self.model = load(ViTModel, source, besides=("pooler.",), add_pooling_layer=False)
        self.made = f"DINO {origin(source, self.model)}"

    @torch.no_grad()
    def embed(self, pictures: Sequence[Image]) -> Tensor:
        """Unit features `[n,D]` of pictures `[H,W,3]`, of any sizes."""
        pixels = torch.stack([prepared(picture) for picture in pictures]).to(self.model.device)
        states: Tensor = self.model(pixel_values=pixels).last_hidden_state
        return F.normalize(states[:, 0].float()).cpu()


def prepared(picture: Image) -> Tensor:
    """What the network sees of a picture `[H,W,3]`: `[3,224,224]`."""
    height, width = picture.shape[:2]
    shorter = min(height, width)
    size = (width * SHORTER // shorter, height * SHORTER // shorter)
    resized = Pillow.fromarray(picture).resize(size, Pillow.Resampling.BICUBIC)
    left, top = (round((extent - SIDE) / 2) for extent in size)
    kept = np.asarray(resized.crop((left, top, left + SIDE, top + SIDE)))
    pixels = torch.from_numpy(kept.copy()).permute(2, 0, 1).float() / 255
    return (pixels - torch.tensor(MEANS).view(3, 1, 1)) / torch.tensor(DEVIATIONS).view(3, 1, 1)
