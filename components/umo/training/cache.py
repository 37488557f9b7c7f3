"""A dataset encoded once for training: conditioning, target latents and goal face embeddings."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from umo.bases.protocol import Conditioning, ReferenceModel, device_of
from umo.data.order import Order
from umo.data.schema import Image, Sample
from umo.data.shards import Dataset
from umo.errors import UsageError
from umo.faces.embed import FaceEmbedder
from umo.faces.packs import FacePack, detect_float, embed_faces
from umo.pixels import to_float

Goal = Literal["reference", "target"]
"""Whose faces the reward compares with: those of the references or those of the target."""

CHUNK = 16
MOST_LEFT_OUT = 0.1


@dataclass(frozen=True, kw_only=True)
class Group:
    """Samples with the same number of people and picture sizes, `N` of them."""

    indices: list[int]
    """Where each sample is in the dataset."""
    height: int
    """Of the targets, pixels."""
    width: int
    """Of the targets, pixels."""
    conditioning: Conditioning
    """Of `N` samples."""
    latents: Tensor
    """Of the targets, `[N,C,h,w]`."""
    goals: list[Tensor]
    """For each sample, the face embeddings `[M,D]` to come near to."""
    judge_goals: list[Tensor]
    """The same by the judge, `[M,E]`; empty where it is not asked."""

    def __len__(self) -> int:
        return len(self.goals)


@dataclass(frozen=True, kw_only=True)
class EncodedDataset:
    """The samples that can be trained on."""

    groups: list[Group]
    """Every sample is in one."""
    left_out: list[str]
    """Keys of the samples without a face to compare with."""


def encode_dataset(
    dataset: Dataset,
    base: ReferenceModel,
    pack: FacePack,
    goal: Goal,
    progress: Callable[[dict[str, Any]], None],
    *,
    judge: bool = False,
) -> EncodedDataset:
    """Encode every sample of a dataset, on the device of the base.

    Args:
        dataset: Small enough that its latents fit in memory.
        base: Encodes prompts, references and targets.
        pack: Its detector and reward embedder find the goal embeddings.
        goal: Whose faces they are.
        progress: Called with `phase`, `done` and `total`.
        judge: Whether the judge's embeddings are wanted too.

    Raises:
        UsageError: More than a tenth of the samples have no face to compare with.
    """
    pending: dict[Any, list[tuple[int, Sample]]] = defaultdict(list)
    parts: dict[Any, list[Group]] = defaultdict(list)
    left_out: list[str] = []

    def flush(shape: Any) -> None:
        group, faceless = _encode(pending.pop(shape), base, pack, goal, judge)
        left_out.extend(faceless)
        if group:
            parts[shape].append(group)

    for index, sample in enumerate(dataset):
        shape = (sample.target.shape, *(reference.shape for reference in sample.references))
        pending[shape].append((index, sample))
        if len(pending[shape]) == CHUNK:
            flush(shape)
        progress({"phase": "encode", "done": index + 1, "total": len(dataset)})
    for shape in list(pending):
        flush(shape)
    if len(left_out) > MOST_LEFT_OUT * len(dataset):
        raise UsageError(
            f"{len(left_out)} of {len(dataset)} samples of {dataset.folder} have no face in a "
            f"{goal} picture, first {left_out[0]!r}",
            hint="leave them out of the dataset",
        )
    return EncodedDataset(groups=[_joined(parts[shape]) for shape in parts], left_out=left_out)


def batches(
    groups: Sequence[Group], size: int, seed: int, *, done: int = 0
) -> Iterator[tuple[Group, Tensor]]:
    """Endless batches, each of one group: every epoch visits the samples in a new seeded order.

    A group's last incomplete batch is dropped, unless the group has no other.

    Args:
        groups: What the samples are in.
        size: Most samples in a batch.
        seed: Of the order.
        done: How many batches were had before.

    Yields:
        A group and the indices `[B]` of its samples, `B <= size`.
    """
    counts = [len(group) for group in groups]
    first = np.cumsum([0, *counts])
    order = Order(np.repeat(np.arange(len(groups)), counts), batch=size, seed=seed, drop_last=True)
    for batch in itertools.islice(order, done, None):
        group = int(order.kinds[batch.rows[0]])
        yield groups[group], torch.from_numpy(batch.rows - first[group])


@torch.no_grad()
def _encode(
    members: list[tuple[int, Sample]], base: ReferenceModel, pack: FacePack, goal: Goal, judge: bool
) -> tuple[Group | None, list[str]]:
    """The samples of one shape that have a goal, and the keys of the others."""
    indices, samples = zip(*members, strict=True)
    device = device_of(base.transformer)
    targets = _pictures([sample.target for sample in samples], device)
    slots = [
        _pictures(list(slot), device)
        for slot in zip(*(sample.references for sample in samples), strict=True)
    ]
    embedders = [pack.reward, pack.judge] if judge else [pack.reward]
    goals = dict(enumerate(_goals(targets, slots, pack, embedders, goal)))
    found = {row: embeddings for row, embeddings in goals.items() if embeddings is not None}
    left_out = [samples[row].key for row in goals if row not in found]
    if not found:
        return None, left_out
    rows = list(found)
    group = Group(
        indices=[indices[row] for row in rows],
        height=targets.shape[2],
        width=targets.shape[3],
        conditioning=base.encode(
            [samples[row].prompt for row in rows], [[slot[row] for slot in slots] for row in rows]
        ),
        latents=base.encode_images(targets[rows]),
        goals=[embeddings[0] for embeddings in found.values()],
        judge_goals=[embeddings[1] for embeddings in found.values()] if judge else [],
    )
    return group, left_out


def _goals(
    targets: Tensor,
    slots: list[Tensor],
    pack: FacePack,
    embedders: list[FaceEmbedder],
    goal: Goal,
) -> list[list[Tensor] | None]:
    """Face embeddings `[M,D]` of each sample by each embedder; None where a face is missing."""
    pictures = [targets] if goal == "target" else slots
    faces = [detect_float(pack.detector, batch) for batch in pictures]
    if goal == "reference":
        faces = [[found.largest() for found in batch] for batch in faces]
    persons = [
        [embed_faces(batch, found, embedder) for batch, found in zip(pictures, faces, strict=True)]
        for embedder in embedders
    ]
    whole = [all(map(len, found)) for found in zip(*faces, strict=True)]
    return [
        [torch.cat([batch[row] for batch in by]) for by in persons] if whole[row] else None
        for row in range(len(targets))
    ]


def _joined(groups: list[Group]) -> Group:
    return Group(
        indices=[index for group in groups for index in group.indices],
        height=groups[0].height,
        width=groups[0].width,
        conditioning=Conditioning.joined([group.conditioning for group in groups]),
        latents=torch.cat([group.latents for group in groups]),
        goals=[goal for group in groups for goal in group.goals],
        judge_goals=[goal for group in groups for goal in group.judge_goals],
    )


def _pictures(images: list[Image], device: torch.device) -> Tensor:
    """Float `[B,3,H,W]` in -1..1 of uint8 pictures of one size."""
    return to_float(torch.from_numpy(np.stack(images)).to(device))
