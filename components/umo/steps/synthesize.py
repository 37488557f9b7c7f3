"""Step: render people into a dataset of samples whose faces can all be found, or cut one apart.

Several tasks may render a part each, which another one joins: to the same bytes.
"""

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from umo import config as settings
from umo import lineage
from umo.data.filters import with_faces
from umo.data.render import RenderConfig, apart, render_samples
from umo.data.schema import Sample
from umo.data.shards import Dataset, join_datasets, write_dataset
from umo.faces.packs import load_pack
from umo.files import read_manifest
from umo.steps.journal import Outcome, Progress, ignore

SAMPLES_PER_WORKER = 16
"""Fewer are rendered before another process has started."""
MOST_WORKERS = 8
"""A pod sees every core of its node, whatever its limit."""


def run(config: RenderConfig, *, folder: Path, progress: Progress = ignore) -> Outcome:
    """Render the dataset of `config` into `folder`, unless it is there.

    Args:
        config: Which people, how many scenes, which split.
        folder: Replaced, as a whole, when the dataset is new.
        progress: Called with `done` and `total` samples.
    """
    samples = _rendered(config, range(config.samples), progress)
    return _write(samples, _facts(config), lineage.identity(config), folder)


def run_part(
    config: RenderConfig, shard: int, shards: int, *, folder: Path, progress: Progress = ignore
) -> Outcome:
    """Render one of `shards` parts of the dataset of `config` into `folder`, unless it is there.

    Args:
        config: Of the whole dataset.
        shard: Which part, from 0; the parts follow one another in the dataset.
        shards: How many there are; some are empty if there are more of them than samples.
        folder: Replaced, as a whole, when the part is new.
        progress: Called with `done` and `total` samples of the part.
    """
    first, end = (config.samples * number // shards for number in (shard, shard + 1))
    facts = {**_facts(config), "shard": shard, "shards": shards}
    samples = _rendered(config, range(first, end), progress)
    return _write(samples, facts, lineage.identity(facts), folder, part=True)


def join(config: RenderConfig, parts: Mapping[Path, str], *, folder: Path) -> Outcome:
    """Join the parts of the dataset of `config` to what `run` would write, unless it is there.

    Args:
        config: Of the whole dataset.
        parts: Digest of each part, by its folder, in order.
        folder: Replaced, as a whole, when the dataset is new.

    Raises:
        DiffersError: A part is not the one that was promised, or a byte of it was changed.
    """
    name = lineage.identity(config)
    if manifest := lineage.finished(folder, name):
        return Outcome(folder=folder, digest=manifest["digest"], reused=True)
    rejected = []
    for part, digest in parts.items():
        lineage.expect(part, digest)
        rejected += read_manifest(part, verify=True)["rejected"]
    facts = {**_facts(config), "rejected": rejected, **lineage.facts(name)}
    digest = join_datasets(map(Dataset, parts), folder, facts)
    return Outcome(folder=folder, digest=digest, reused=False)


def cut(scenes: Path, *, folder: Path) -> Outcome:
    """Cut the rendered scenes of a dataset into pictures of one person, unless they are there.

    Args:
        scenes: A dataset that `run` wrote.
        folder: Replaced, as a whole, when the dataset is new.
    """
    together = Dataset(scenes)
    facts = {"cut_from": together.digest}
    name = lineage.identity(facts)
    return _write(lambda: itertools.chain.from_iterable(map(apart, together)), facts, name, folder)


def _facts(config: RenderConfig) -> dict[str, Any]:
    return {"config": settings.to_mapping(config)}


def _rendered(
    config: RenderConfig, indices: range, progress: Progress
) -> Callable[[], Iterator[Sample]]:
    workers = min(os.cpu_count() or 1, MOST_WORKERS, 1 + len(indices) // SAMPLES_PER_WORKER)

    def counted() -> Iterator[Sample]:
        samples = render_samples(config, indices=indices, workers=workers)
        for done, sample in enumerate(samples, start=1):
            yield sample
            progress({"done": done, "total": len(indices)})

    return counted


def _write(
    samples: Callable[[], Iterator[Sample]],
    facts: Mapping[str, Any],
    name: str,
    folder: Path,
    *,
    part: bool = False,
) -> Outcome:
    if manifest := lineage.finished(folder, name):
        return Outcome(folder=folder, digest=manifest["digest"], reused=True)
    rejected: list[str] = []
    kept = with_faces(samples(), load_pack("open").detector, rejected.append)
    facts = {**facts, "rejected": rejected, **lineage.facts(name)}
    return Outcome(
        folder=folder, digest=write_dataset(kept, folder, facts, part=part), reused=False
    )
