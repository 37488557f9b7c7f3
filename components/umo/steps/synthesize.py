"""Step: render people into a dataset of samples whose faces can all be found, or cut one apart."""

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
from umo.data.shards import Dataset, write_dataset
from umo.faces.packs import load_pack
from umo.steps.journal import Outcome, Progress, ignore

SAMPLES_PER_WORKER = 16
"""Fewer are rendered before another process has started."""


def run(config: RenderConfig, *, folder: Path, progress: Progress = ignore) -> Outcome:
    """Render the dataset of `config` into `folder`, unless it is there.

    Args:
        config: Which people, how many scenes, which split.
        folder: Replaced, as a whole, when the dataset is new.
        progress: Called with `done` and `total` samples.
    """
    workers = min(os.cpu_count() or 1, 1 + config.samples // SAMPLES_PER_WORKER)

    def counted() -> Iterator[Sample]:
        for done, sample in enumerate(render_samples(config, workers=workers), start=1):
            yield sample
            progress({"done": done, "total": config.samples})

    facts = {"config": settings.to_mapping(config)}
    return _write(counted, facts, lineage.identity(config), folder)


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


def _write(
    samples: Callable[[], Iterator[Sample]], facts: Mapping[str, Any], name: str, folder: Path
) -> Outcome:
    if manifest := lineage.finished(folder, name):
        return Outcome(folder=folder, digest=manifest["digest"], reused=True)
    rejected: list[str] = []
    kept = with_faces(samples(), load_pack("open").detector, rejected.append)
    facts = {**facts, "rejected": rejected, **lineage.facts(name)}
    return Outcome(folder=folder, digest=write_dataset(kept, folder, facts), reused=False)
