"""Small samples with everything that the format has, of people whom a test names."""

import numpy as np

from umo.data.schema import Sample

FACE_PACK = {"face_pack": {"name": "tiles", "digest": "1" * 64}}
SIDE = 32


def drawn(key: str, *people: str, split: str = "tune", licence: str = "CC0-1.0") -> Sample:
    """A sample of some people: noise, the same for a key."""
    rng = np.random.default_rng(list(key.encode()))

    def picture(width: int) -> np.ndarray:
        return rng.integers(0, 256, (SIDE, width, 3), np.uint8)

    embeddings = rng.normal(size=(len(people), 8))
    lefts = SIDE * np.arange(len(people))
    return Sample(
        key=key,
        prompt=f"{len(people)} people",
        target=picture(SIDE * len(people)),
        references=tuple(picture(SIDE) for _ in people),
        views=tuple((picture(SIDE),) for _ in people),
        boxes=np.stack([lefts, 0 * lefts, lefts + SIDE, 0 * lefts + SIDE], 1).astype(np.float32),
        landmarks=rng.uniform(0, SIDE, (len(people), 5, 2)).astype(np.float32),
        embeddings=(embeddings / np.linalg.norm(embeddings, axis=1)[:, None]).astype(np.float32),
        identities=people,
        quality=0.5,
        split=split,
        source="harvested",
        licence=licence,
        consent="signed",
    )
