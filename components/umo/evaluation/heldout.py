"""The held-out items: their people's embeddings, and the scale that real pictures give.

The scale of ID-Sim, in cosines of the judge:

- `different`, 0 of the scale: mean over all pairs of references of different identities.
- `same`, 1 of the scale: mean over all people of the cosine between their reference and their face
  in the item's own target picture, that is, two views of one person. A person's face is the one
  whose box overlaps most with the dataset's, by half or more; people without one count in
  `unmeasured` and not in the mean.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from umo.data.schema import Sample
from umo.data.shards import Dataset
from umo.errors import UsageError
from umo.evaluation.measure import EMBEDDERS, Measured, Seen, compare, overlap, see
from umo.evaluation.metrics import Values
from umo.faces.packs import FacePack

LEAST_OVERLAP = 0.5

Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Item:
    """One held-out prompt with its people; its pictures stay in the dataset."""

    index: int
    """Where it is in the dataset."""
    key: str
    """Its sample's key."""
    prompt: str
    """What to paint."""
    identities: tuple[str, ...]
    """Who the references are."""
    shape: tuple[tuple[int, ...], ...]
    """Shapes of the target and of each reference; a batch has one."""
    embeddings: Mapping[str, Values]
    """Unit embeddings `[M,D]` of the references, by embedder."""
    target: Measured
    """The item's own target picture, as if a perfect model had painted it."""
    same: tuple[float | None, ...]
    """Judge's cosine of each reference and that person in the target; None if not found there."""


def read_items(dataset: Dataset, pack: FacePack, batch: int, progress: Progress) -> list[Item]:
    """Measure every item's references and target, in the order of the dataset.

    Raises:
        UsageError: There is no item, one has no reference, or a reference has no face.
    """
    items: dict[int, Item] = {}
    faceless: list[str] = []
    shapes: dict[int, tuple[tuple[int, ...], ...]] = {
        index: (sample.target.shape, *(reference.shape for reference in sample.references))
        for index, sample in enumerate(dataset)
    }
    for indices in chunks(shapes, batch):
        samples = [dataset[index] for index in indices]
        if not samples[0].references:
            raise UsageError(f"{samples[0].key!r} has no reference", hint="give one of each person")
        targets = see(pack, [sample.target for sample in samples])
        slots = [
            see(pack, slot) for slot in zip(*(sample.references for sample in samples), strict=True)
        ]
        for row, (index, sample) in enumerate(zip(indices, samples, strict=True)):
            people = [slot[row] for slot in slots]
            empty = [number for number, seen in enumerate(people, 1) if not len(seen.boxes)]
            faceless += [f"reference {number} of {sample.key!r}" for number in empty]
            if not empty:
                items[index] = _item(index, sample, shapes[index], people, targets[row])
        progress({"phase": "references", "done": len(items), "total": len(dataset)})
    if faceless:
        raise UsageError(
            f"no face found in {len(faceless)} references, first {faceless[0]}",
            hint="give pictures with a clear, upright face, or leave these items out",
        )
    if not items:
        raise UsageError("no held-out item to evaluate")
    return [items[index] for index in sorted(items)]


def chunks(shapes: Mapping[int, Any], size: int) -> Iterator[list[int]]:
    """Indices in batches of at most `size`, each of one shape, in order within a shape."""
    groups: dict[Any, list[int]] = defaultdict(list)
    for index, shape in shapes.items():
        groups[shape].append(index)
    for group in groups.values():
        for start in range(0, len(group), size):
            yield group[start : start + size]


def scale(items: Sequence[Item]) -> dict[str, Any]:
    """The two ends of the scale over some items; see the module docstring.

    Returns:
        `different`, `same` (None if no pair could be measured) and `unmeasured`, a count.
    """
    vectors = np.concatenate([item.embeddings["judge"] for item in items])
    identities = np.array([identity for item in items for identity in item.identities])
    strangers = identities[:, None] != identities[None, :]
    same = [cosine for item in items for cosine in item.same if cosine is not None]
    return {
        "different": float((vectors @ vectors.T)[strangers].mean()) if strangers.any() else None,
        "same": float(np.mean(same)) if same else None,
        "unmeasured": len(identities) - len(same),
    }


def _item(
    index: int,
    sample: Sample,
    shape: tuple[tuple[int, ...], ...],
    references: Sequence[Seen],
    target: Seen,
) -> Item:
    people = [seen.largest() for seen in references]
    embeddings = {
        name: np.concatenate([seen.embeddings[name] for seen in people]) for name in EMBEDDERS
    }
    measured = compare(embeddings, target)
    same: list[float | None] = []
    for person, box in enumerate(sample.boxes):
        shared = overlap(box, target.boxes)
        found = shared.size > 0 and shared.max() >= LEAST_OVERLAP
        same.append(float(measured.similarity["judge"][person, shared.argmax()]) if found else None)
    return Item(
        index=index,
        key=sample.key,
        prompt=sample.prompt,
        identities=sample.identities,
        shape=shape,
        embeddings=embeddings,
        target=measured,
        same=tuple(same),
    )
