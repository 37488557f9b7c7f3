"""What a run paints, at fixed prompts and seeds, as it goes on: one picture file each time.

Every person of a shown sample does not exist (`consent` is `generated`): references of real people
stay in their dataset.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from umo.bases.protocol import ReferenceModel
from umo.data.schema import Sample
from umo.data.shards import Dataset
from umo.evaluation.figures import Panel, card, grid
from umo.evaluation.measure import EMBEDDERS, compare, see
from umo.evaluation.metrics import Values
from umo.faces.packs import FacePack
from umo.files import atomic_path
from umo.pixels import to_bytes
from umo.training.cache import Group
from umo.training.config import RereflConfig
from umo.training.memory import Precision
from umo.training.rollout import sample

SAMPLES = "samples"
"""Folder of the pictures in that of the run."""
GENERATED = "generated"


@dataclass(frozen=True, kw_only=True)
class _Item:
    group: Group
    row: int
    sample: Sample
    people: Mapping[str, Values]
    """Embeddings `[M,D]` of the references, by embedder."""


class SampleGrid:
    """A few samples of the training data, painted again and again from the same noise.

    Args:
        config: How many, and how a roll-out goes.
        base: What paints.
        dataset: Where prompts and references are.
        groups: The same, encoded.
        pack: Finds the faces; its judge says whose they are.
        precision: Of the base's forward passes.
    """

    def __init__(
        self,
        config: RereflConfig,
        *,
        base: ReferenceModel,
        dataset: Dataset,
        groups: Sequence[Group],
        pack: FacePack,
        precision: Precision,
    ) -> None:
        self._config = config
        self._base = base
        self._pack = pack
        self._precision = precision
        self._items: list[_Item] = []
        if config.samples:
            for item in _generated(dataset, groups, pack, config.samples):
                self._items.append(item)
                if len(self._items) == config.samples:
                    break

    def __len__(self) -> int:
        return len(self._items)

    def paint(self, path: Path, title: str, *, write: bool) -> None:
        """Paint the samples with the base as it is now.

        Args:
            path: Gets a JPEG: references above pictures, faces in boxes, a line from each reference
                to the face that is assigned to it, with the judge's cosine.
            title: Below each picture.
            write: Whether this process is the one that writes.

        Raises:
            UmoError: The file could not be written.
        """
        cards = []
        for seed, item in enumerate(self._items):
            with self._precision.autocast(item.group.latents.device):
                pixels = sample(
                    self._base,
                    item.group.conditioning[[item.row]],
                    height=item.group.height,
                    width=item.group.width,
                    steps=self._config.rollout_steps,
                    guidance=self._config.guidance,
                    seeds=[seed],
                )
            if write:
                picture = to_bytes(pixels)[0].cpu().numpy()
                measured = compare(item.people, see(self._pack, [picture])[0])
                panel = Panel(
                    title=title,
                    picture=picture,
                    boxes=measured.boxes,
                    similarity=measured.similarity["judge"],
                )
                cards.append(card(item.sample.references, [panel]))
        if write:
            with atomic_path(path) as staged:
                grid(cards, columns=len(cards)).save(staged, format="JPEG", quality=90)


def _generated(
    dataset: Dataset, groups: Sequence[Group], pack: FacePack, most: int
) -> Iterator[_Item]:
    """Samples of people who do not exist, from every group in turn, `most` of a group looked at."""
    for row in range(most):
        for group in sorted(groups, key=lambda group: group.width):
            if row >= len(group):
                continue
            found = dataset[group.indices[row]]
            if found.consent != GENERATED:
                continue
            with torch.no_grad():
                seen = [see(pack, [reference])[0] for reference in found.references]
            if all(len(each.boxes) for each in seen):
                people = [each.largest() for each in seen]
                by = {n: np.concatenate([one.embeddings[n] for one in people]) for n in EMBEDDERS}
                yield _Item(group=group, row=row, sample=found, people=by)
