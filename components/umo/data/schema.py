"""The sample: one target picture with several people and a reference picture of each.

Version 2 of the format. Everything of a person stands at that person's place, `0 .. n-1`: reference
`i` shows identity `identities[i]`, whose face in the target is `boxes[i]`, `landmarks[i]` and
`embeddings[i]`. A person stands in a sample once; who has more than one reference picture has the
best in `references` and the others in `views[i]`.

Version 1 had no views, landmarks, embeddings and quality; it is read with none of them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

VERSION = 2
"""Of the format that is written."""
READABLE = (1, VERSION)
"""Versions that can be read."""

Image = NDArray[np.uint8]
"""RGB picture `[H,W,3]`, 0 to 255."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A training or evaluation item with `n` people."""

    key: str
    """Stable name, unique in its dataset."""
    prompt: str
    """What the target shows."""
    target: Image
    """The picture to learn, with every identity in it."""
    references: tuple[Image, ...]
    """One picture of each person, which is not the target."""
    views: tuple[tuple[Image, ...], ...] = ()
    """Further pictures of each person, any number; empty if nobody has any."""
    boxes: NDArray[np.float32]
    """Face boxes `[n,4]` in the target, xyxy pixels."""
    landmarks: NDArray[np.float32] | None = None
    """Eyes, nose and corners of the mouth `[n,5,2]` in the target, xy pixels."""
    embeddings: NDArray[np.float32] | None = None
    """Unit embeddings `[n,D]` of the faces in the target, by the judge of the face pack that the
    manifest names as `face_pack`."""
    identities: tuple[str, ...]
    """Identity ids, each once."""
    quality: float | None = None
    """How good the pictures are by the measure of their source, 0 to 1."""
    split: str
    """`pretrain`, `tune` or `held-out`; no identity is in two splits."""
    source: str
    """What made the sample: `rendered`, `generated`, `harvested` or `imported`."""
    licence: str
    """Licence of the pictures."""
    consent: str
    """How the people consented; `generated` for people who do not exist."""
