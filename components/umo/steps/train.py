"""Step: tune a base by ReReFL."""

from pathlib import Path
from typing import Any

from umo import lineage
from umo.bases import load_base
from umo.config import to_mapping
from umo.data.shards import Dataset
from umo.errors import NotFoundError
from umo.faces.packs import load_pack
from umo.files import read_manifest, sha256
from umo.live import followed
from umo.steps.journal import Outcome, Progress, ignore
from umo.store import Store
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
    store: Store | None = None,
    start: Path | None = None,
) -> Outcome:
    """Tune `base` on the dataset in `data` into `folder`, unless that result is there.

    A run that was interrupted or killed goes on from its newest checkpoint. Processes that torchrun
    started train together; the first one seals the result.

    Args:
        config: What to optimise and how.
        base: `embedded` or a folder.
        pack: Face pack, see `umo.faces.packs.load_pack`.
        data: A dataset: a folder, or `s3://bucket/prefix`.
        folder: Gets what `umo.training.rerefl.train` writes.
        progress: Called as that calls it.
        checkpoints: A folder or `s3://bucket/prefix`; None is `checkpoints` in `folder`.
        cache: A folder for encoded datasets, so that each is encoded once.
        store: Whose MLflow follows the run, if any.
        start: A LoRA file to go on from; None begins with a fresh one.

    Raises:
        NotFoundError: There is no such file.
    """
    model, faces, dataset = load_base(base), load_pack(pack), Dataset(data)
    inputs = {"tune": dataset.digest, "pack": faces.digest}
    if clip := config.mixture.load():
        inputs["clip"] = clip.digest
    if start:
        if not start.is_file():
            raise NotFoundError(f"no LoRA at {start}")
        inputs["start"] = sha256(start)
    name = lineage.identity(config, data=inputs, base=model.digest)
    if manifest := lineage.finished(folder, name):
        return Outcome(folder=folder, digest=manifest["digest"], reused=True)
    parameters = {
        "config": to_mapping(config),
        "base": {"name": model.name, "digest": model.digest},
        "face_pack": {"name": faces.name, "digest": faces.digest},
        "data": dataset.digest,
    }
    with (
        joined(sharded=config.sharded) as world,
        followed(
            store if world.first else None, identity=name, folder=folder, parameters=parameters
        ) as live,
    ):
        model.to(world.device)
        faces.to(world.device)

        def report(facts: dict[str, Any]) -> None:
            progress(facts)
            if live:
                live(facts)

        train(
            config,
            base=model,
            dataset=dataset,
            pack=faces,
            out=folder,
            progress=report,
            checkpoints=checkpoints,
            cache=cache,
            world=world,
            start=start,
        )
        if world.first:
            lineage.seal(folder, name)
        world.wait()
    return Outcome(folder=folder, digest=read_manifest(folder)["digest"], reused=False)
