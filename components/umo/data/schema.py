"""The sample: one target picture with several people and a reference picture of each."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""RGB picture `[H,W,3]`, 0 to 255."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A training or evaluation item; reference `i` shows identity `identities[i]`."""

    key: str
    """Stable name, unique in its dataset."""
    prompt: str
    """What the target shows."""
    target: Image
    """The picture to learn, with every identity in it."""
    references: tuple[Image, ...]
    """One picture of each person."""
    boxes: NDArray[np.float32]
    """Face boxes `[n,4]` in the target, xyxy pixels, in the order of the references."""
    identities: tuple[str, ...]
    """Identity ids, in the order of the references."""
    split: str
    """`pretrain`, `tune` or `held-out`; no identity is in two splits."""
    source: str
    """What made the sample, for example `rendered`."""
    licence: str
    """Licence of the pictures."""
    consent: str
    """How the people consented; `generated` for people who do not exist."""
