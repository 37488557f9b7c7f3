"""Encoded datasets on disk: text embeddings, latents and faces are computed once, by digest."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from umo import config
from umo.bases.protocol import Conditioning, ReferenceModel
from umo.data.shards import Dataset
from umo.errors import DiffersError, NotFoundError
from umo.faces.packs import FacePack
from umo.files import atomic_folder, read_manifest, write_manifest
from umo.training.cache import EncodedDataset, Goal, Group, encode_dataset
from umo.training.parallel import World

TENSORS = "groups.safetensors"
LAYOUT = 2
"""Of the file; a cache of another layout is not looked at."""

log = logging.getLogger(__name__)


def encode_once(
    dataset: Dataset,
    base: ReferenceModel,
    pack: FacePack,
    goal: Goal,
    progress: Callable[[dict[str, Any]], None],
    *,
    judge: bool,
    cache: Path | None,
    world: World,
) -> EncodedDataset:
    """What `encode_dataset` gives, from disk if it was encoded before.

    Args:
        dataset: Small enough that its latents fit in memory.
        base: Encodes prompts, references and targets.
        pack: Its detector and embedders find the goal embeddings.
        goal: Whose faces they are.
        progress: Called with `phase`, `done` and `total` while encoding.
        judge: Whether the judge's embeddings are wanted too.
        cache: Folder of encoded datasets; None encodes anew, in every process.
        world: The first process encodes for all.

    Raises:
        UsageError: The dataset cannot be trained on.
        UmoError: The cache cannot be written.
    """
    if cache is None:
        return encode_dataset(dataset, base, pack, goal, progress, judge=judge)
    inputs = [LAYOUT, dataset.digest, base.digest, pack.digest, goal, judge]
    folder = cache / config.digest(inputs)[:32]
    if world.first and not _whole(folder):
        encoded = encode_dataset(dataset, base, pack, goal, progress, judge=judge)
        _write(encoded, folder, dataset.digest)
    world.wait()
    return _read(folder, world.device)


def _whole(folder: Path) -> bool:
    try:
        read_manifest(folder, verify=True)
    except NotFoundError:
        return False
    except DiffersError as error:
        log.warning("%s is encoded again: %s", folder, error)
        return False
    return True


def _write(encoded: EncodedDataset, folder: Path, dataset: str) -> None:
    tensors: dict[str, Tensor] = {}
    for index, group in enumerate(encoded.groups):
        parts = {"text": group.conditioning.text, "pooled": group.conditioning.pooled}
        parts |= {f"reference/{k}": r for k, r in enumerate(group.conditioning.references)}
        parts |= {"latents": group.latents, "indices": torch.tensor(group.indices)}
        if group.conditioning.lengths is not None:
            parts["lengths"] = group.conditioning.lengths
        for kind, goals in (("goals", group.goals), ("judge_goals", group.judge_goals)):
            if goals:
                parts[kind] = torch.cat(goals)
                parts[f"{kind}/counts"] = torch.tensor([len(each) for each in goals])
        tensors |= {f"{index}/{name}": part.cpu().contiguous() for name, part in parts.items()}
    sizes = [[group.height, group.width] for group in encoded.groups]
    with atomic_folder(folder) as staged:
        save_file(tensors, staged / TENSORS)
        facts = {"kind": "encoded dataset", "dataset": dataset, "sizes": sizes}
        write_manifest(staged, {**facts, "left_out": encoded.left_out})


def _read(folder: Path, device: torch.device) -> EncodedDataset:
    tensors = {name: t.to(device) for name, t in load_file(folder / TENSORS).items()}
    facts = read_manifest(folder)
    groups = []
    for index, (height, width) in enumerate(facts["sizes"]):
        prefix = f"{index}/"
        mine = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        slots = sorted(int(name.split("/")[1]) for name in mine if name.startswith("reference/"))
        goals, judge_goals = (
            list(mine[kind].split(mine[f"{kind}/counts"].tolist())) if kind in mine else []
            for kind in ("goals", "judge_goals")
        )
        groups.append(
            Group(
                indices=mine["indices"].tolist(),
                height=height,
                width=width,
                conditioning=Conditioning(
                    text=mine["text"],
                    pooled=mine["pooled"],
                    references=tuple(mine[f"reference/{slot}"] for slot in slots),
                    lengths=mine.get("lengths"),
                ),
                latents=mine["latents"],
                goals=goals,
                judge_goals=judge_goals,
            )
        )
    return EncodedDataset(groups=groups, left_out=facts["left_out"])
