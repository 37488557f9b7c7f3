"""Step: harvest a dataset from photos and videos, or do a share of the work for it."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from umo import files
from umo.data.share import Share
from umo.errors import UmoError
from umo.faces.packs import load_pack
from umo.harvest import harvest
from umo.harvest.harvest import HarvestConfig, Harvested
from umo.harvest.sources import Source, list_sources
from umo.steps.journal import Outcome, Progress, ignore


def run(
    config: HarvestConfig,
    sources: Sequence[Source],
    *,
    folder: Path,
    work: Path | None = None,
    report: Path | None = None,
    labels: Path | None = None,
    workers: int | None = 1,
    progress: Progress = ignore,
) -> Harvested:
    """Harvest `sources` into the dataset `folder`, unless it is there; killed, it goes on.

    Args:
        config: The settings.
        sources: Folders of photos and videos.
        folder: Replaced, as a whole, when the dataset is new.
        work: Keeps what was done, for a restart or other shards; by default beside `folder`, and
            removed at the end.
        report: Folder of the report; by default beside `folder`.
        labels: CSV file `name,person` of photos, to check the clusters.
        workers: Processes; None for one a core.
        progress: Called with `done` and `total` units.

    Raises:
        UsageError: No picture has two known people.
    """
    kept = work or _work(folder)
    shown = report or folder.with_name(f"{folder.name}-report")
    name = _name(config, sources)
    if (shown / "report.html").is_file() and (digest := _finished(folder, name)):
        if work is None:
            harvest.remove_work(kept)
        return Harvested(digest=digest, reused=True, seconds={})
    for result in (folder, shown):
        _sweep(result)
    seconds = harvest.work_shard(config, sources, kept, workers=workers, progress=progress)
    digest = harvest.finish(
        config,
        sources,
        folder,
        kept,
        report=shown,
        labels=labels,
        seconds=seconds,
    )
    if work is None:
        harvest.remove_work(kept)
    return Harvested(digest=digest, reused=False, seconds=seconds)


def run_share(
    config: HarvestConfig,
    sources: Sequence[Source],
    share: Share,
    *,
    folder: Path,
    progress: Progress = ignore,
) -> Outcome:
    """Do a share of the work for the dataset `folder`, unless that is there; `run` does the rest.

    Args:
        config: The settings.
        sources: Folders of photos and videos.
        share: Which share, done by a process a core.
        folder: Of the dataset; the work waits beside it.
        progress: Called with `done` and `total` units of the share.
    """
    name, work = _name(config, sources), _work(folder)
    if digest := _finished(folder, name):
        return Outcome(folder=folder, digest=digest, reused=True)
    harvest.work_shard(config, sources, work, share=share, workers=None, progress=progress)
    return Outcome(folder=work, digest=name, reused=False)


def _work(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}-work")


def _name(config: HarvestConfig, sources: Sequence[Source]) -> str:
    listing = list_sources(sources, config.units.block)
    return harvest.listing_name(config, listing, load_pack(config.faces))


def _sweep(result: Path) -> None:
    """Delete what a killed call left beside its result: it shows people."""
    for left in result.parent.glob(f".{result.name}.*"):
        shutil.rmtree(left)


def _finished(folder: Path, name: str) -> str:
    """The digest of the dataset that is there, if it is the one of this name and whole."""
    try:
        if files.read_manifest(folder).get(harvest.LISTING) == name:
            return str(files.read_manifest(folder, verify=True)["digest"])
    except UmoError:
        pass
    return ""
