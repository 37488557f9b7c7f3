"""Step: render people into a dataset of samples whose faces can all be found."""

import os
from collections.abc import Iterator
from pathlib import Path

from umo import config as settings
from umo import lineage
from umo.data.filters import with_faces
from umo.data.render import RenderConfig, render_samples
from umo.data.schema import Sample
from umo.data.shards import write_dataset
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
    name = lineage.identity(config)
    if manifest := lineage.finished(folder, name):
        return Outcome(folder=folder, digest=manifest["digest"], reused=True)

    workers = min(os.cpu_count() or 1, 1 + config.samples // SAMPLES_PER_WORKER)
    rejected: list[str] = []

    def counted() -> Iterator[Sample]:
        for done, sample in enumerate(render_samples(config, workers=workers), start=1):
            yield sample
            progress({"done": done, "total": config.samples})

    samples = with_faces(counted(), load_pack("open").detector, rejected.append)
    facts = {"config": settings.to_mapping(config), "rejected": rejected, **lineage.facts(name)}
    return Outcome(folder=folder, digest=write_dataset(samples, folder, facts), reused=False)
