"""Step: tune a LoRA on a base by ReReFL."""

from pathlib import Path

from umo import lineage
from umo.bases import load_base
from umo.data.shards import Dataset
from umo.faces.packs import load_pack
from umo.files import read_manifest
from umo.steps.journal import Outcome, Progress, ignore
from umo.training.parallel import joined
from umo.training.rerefl import RereflConfig, train


def run(
    config: RereflConfig,
    *,
    base: str,
    pack: str,
    data: Path | str,
    folder: Path,
    progress: Progress = ignore,
    checkpoints: str | None = None,
    cache: Path | None = None,
) -> Outcome:
    """Tune `base` on the dataset in `data` into `folder`, unless that result is there.

    A run that was interrupted or killed goes on from its newest checkpoint. Processes that torchrun
    started train together; the first one seals the result.

    Args:
        config: What to optimise and how.
        base: `embedded` or a folder.
        pack: Face pack, `open` or `insightface:<folder>`.
        data: A dataset: a folder, or `s3://bucket/prefix`.
        folder: Gets `lora.safetensors`, `metrics.jsonl` and `manifest.json`.
        progress: Called with `done`, `total` and the measures of `umo.training.rerefl.train`.
        checkpoints: A folder or `s3://bucket/prefix`; None is `checkpoints` in `folder`.
        cache: A folder for encoded datasets, so that each is encoded once.
    """
    model, faces, dataset = load_base(base), load_pack(pack), Dataset(data)
    name = lineage.identity(
        config, data={"tune": dataset.digest, "pack": faces.digest}, base=model.digest
    )
    if manifest := lineage.finished(folder, name):
        return Outcome(folder=folder, digest=manifest["digest"], reused=True)
    with joined(sharded=config.sharded) as world:
        model.to(world.device)
        faces.to(world.device)
        train(
            config,
            base=model,
            dataset=dataset,
            pack=faces,
            out=folder,
            progress=progress,
            checkpoints=checkpoints,
            cache=cache,
            world=world,
        )
        if world.first:
            lineage.seal(folder, name)
        world.wait()
    return Outcome(folder=folder, digest=read_manifest(folder)["digest"], reused=False)
