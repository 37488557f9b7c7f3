"""Rows of a shard: the parquet columns of a sample, with its pictures as encoded bytes."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image as Pillow

from umo.data.schema import Image, Sample
from umo.errors import UsageError

Row = dict[str, Any]
"""Values of `SCHEMA`, by column."""

SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("prompt", pa.string()),
        ("people", pa.int32()),
        ("sizes", pa.list_(pa.int32())),
        ("target", pa.binary()),
        ("references", pa.list_(pa.binary())),
        ("views", pa.list_(pa.list_(pa.binary()))),
        ("boxes", pa.list_(pa.list_(pa.float32(), 4))),
        ("landmarks", pa.list_(pa.list_(pa.float32(), 10))),
        ("embeddings", pa.list_(pa.list_(pa.float32()))),
        ("identities", pa.list_(pa.string())),
        ("quality", pa.float32()),
        ("split", pa.string()),
        ("source", pa.string()),
        ("licence", pa.string()),
        ("consent", pa.string()),
    ]
)
"""One row for each sample; pictures are PNG bytes, and `sizes` has height and width of the target
and of each reference."""


def encode(sample: Sample) -> Row:
    """The row of a sample.

    Raises:
        UsageError: Something stands not once for each person, or is not finite.
    """
    _check(sample)
    return {
        "key": sample.key,
        "prompt": sample.prompt,
        "people": len(sample.identities),
        "sizes": [
            side for picture in (sample.target, *sample.references) for side in picture.shape[:2]
        ],
        "target": png(sample.target),
        "references": [png(reference) for reference in sample.references],
        "views": [[png(view) for view in views] for views in sample.views],
        "boxes": np.asarray(sample.boxes, np.float32).tolist(),
        "landmarks": _listed(sample.landmarks),
        "embeddings": _listed(sample.embeddings),
        "identities": list(sample.identities),
        "quality": sample.quality,
        "split": sample.split,
        "source": sample.source,
        "licence": sample.licence,
        "consent": sample.consent,
    }


def upgraded(row: Row) -> Row:
    """A row of version 1 with the columns of this one.

    Raises:
        OSError: A picture cannot be read; or SyntaxError or ValueError.
    """
    sizes: list[int] = []
    for encoded in (row["target"], *row["references"]):
        with Pillow.open(io.BytesIO(encoded)) as image:
            sizes += [image.height, image.width]
    return {**dict.fromkeys(SCHEMA.names), **row, "sizes": sizes, "views": []}


def decode(row: Row) -> Sample:
    """The sample of a row.

    Raises:
        OSError: A picture cannot be read; or SyntaxError or ValueError.
    """
    landmarks, embeddings = row["landmarks"], row["embeddings"]
    return Sample(
        key=row["key"],
        prompt=row["prompt"],
        target=pixels(row["target"]),
        references=tuple(pixels(reference) for reference in row["references"]),
        views=tuple(tuple(map(pixels, views)) for views in row["views"]),
        boxes=np.array(row["boxes"], np.float32).reshape(-1, 4),
        landmarks=None if landmarks is None else _array(landmarks).reshape(-1, 5, 2),
        embeddings=None if embeddings is None else _array(embeddings),
        identities=tuple(row["identities"]),
        quality=row["quality"],
        split=row["split"],
        source=row["source"],
        licence=row["licence"],
        consent=row["consent"],
    )


def png(image: Image) -> bytes:
    """PNG bytes of a picture; the same pixels give the same bytes."""
    stream = io.BytesIO()
    Pillow.fromarray(image).save(stream, format="PNG")
    return stream.getvalue()


def pixels(encoded: bytes) -> Image:
    """The picture of encoded bytes.

    Raises:
        OSError: It cannot be read; or SyntaxError or ValueError.
    """
    with Pillow.open(io.BytesIO(encoded)) as image:
        return np.array(image.convert("RGB"), np.uint8)


def _check(sample: Sample) -> None:
    people = len(sample.identities)
    if not len(sample.references) == len(sample.boxes) == people:
        raise UsageError(
            f"sample {sample.key!r} has {len(sample.references)} references, "
            f"{len(sample.boxes)} boxes and {people} identities",
            hint="give one of each for every person",
        )
    if len(set(sample.identities)) < people:
        raise UsageError(
            f"sample {sample.key!r} names a person twice: {', '.join(sample.identities)}",
            hint="put further pictures of one person into views",
        )
    if sample.views and len(sample.views) != people:
        raise UsageError(f"sample {sample.key!r} has views of {len(sample.views)}, not {people}")
    shapes = {"boxes": (people, 4), "landmarks": (people, 5, 2), "embeddings": (people, None)}
    for name, shape in shapes.items():
        values = getattr(sample, name)
        if values is None:
            continue
        found = np.shape(values)
        if len(found) != len(shape) or any(
            want not in (None, got) for want, got in zip(shape, found, strict=True)
        ):
            raise UsageError(f"sample {sample.key!r} has {name} of shape {found}, not {shape}")
        if not np.isfinite(values).all():
            raise UsageError(f"sample {sample.key!r} has {name} that are not finite")


def _listed(values: NDArray[np.float32] | None) -> list[list[float]] | None:
    if values is None:
        return None
    listed: list[list[float]] = np.asarray(values, np.float32).reshape(len(values), -1).tolist()
    return listed


def _array(values: list[list[float]]) -> NDArray[np.float32]:
    return np.array(values, np.float32)
