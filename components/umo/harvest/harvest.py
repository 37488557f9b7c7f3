"""The harvest: units worked on by any number of processes, then one album and its samples."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

from umo import config as settings
from umo import lineage
from umo.data.forget import WORK
from umo.data.shards import FACE_PACK, write_dataset
from umo.data.share import Share
from umo.errors import UsageError
from umo.faces.packs import FacePack, load_pack
from umo.harvest.album import Album, identify
from umo.harvest.caption import TEMPLATE, load_captioner
from umo.harvest.check import check, read_labels
from umo.harvest.choose import ChoiceConfig, choose
from umo.harvest.clusters import ClusterConfig
from umo.harvest.look import Clock
from umo.harvest.report import write_report
from umo.harvest.samples import write_samples
from umo.harvest.sources import Listing, Source, list_sources
from umo.harvest.units import UnitConfig, is_worked, work
from umo.threads import one_thread

MOST_WORKERS = 8
"""A pod sees every core of its node, whatever its limit."""
SECONDS_BETWEEN = 1.0
LISTING = "listing"

Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class HarvestConfig:
    """How photos and videos become samples."""

    faces: str = "open"
    """Face pack: its detector finds, its reward embedder clusters, its judge is stored."""
    units: UnitConfig = field(default_factory=UnitConfig)
    """How pictures are read and faces found; a change starts the work anew."""
    clusters: ClusterConfig = field(default_factory=ClusterConfig)
    choice: ChoiceConfig = field(default_factory=ChoiceConfig)
    captioner: str = TEMPLATE
    """`template`, or `module:name` of a callable (picture, people) -> str."""
    split: Literal["pretrain", "tune", "held-out"] = "tune"
    """Of all samples; `umo data` splits by people."""


@dataclass(frozen=True, kw_only=True)
class Harvested:
    """What a harvest left behind."""

    digest: str
    """Of the dataset."""
    reused: bool
    """Whether it was there already."""
    seconds: dict[str, float]
    """Spent by a core in each part, all processes; empty where nothing was left to do."""


def work_folder(work: Path, config: HarvestConfig, listing: Listing, pack: FacePack) -> Path:
    """Where the units' files are: another place for other settings, sources or code."""
    name = lineage.identity(config.units, data={"listing": listing.digest, "pack": pack.digest})
    return work / name[:16]


def work_shard(
    config: HarvestConfig,
    sources: Sequence[Source],
    work: Path,
    *,
    share: Share | None = None,
    workers: int | None = 1,
    progress: Progress,
) -> dict[str, float]:
    """Do those units of a share that are not done.

    Args:
        config: The harvest's settings.
        sources: The folders.
        work: Folder for the units' files, the same for all shares.
        share: Of the units; all of them by default.
        workers: Processes; None for one a core. Each uses one core.
        progress: Called with `done` and `total` units of the share.

    Returns:
        Seconds spent in each part.
    """
    listing = list_sources(sources, config.units.block)
    pack = load_pack(config.faces)
    folder = work_folder(work, config, listing, pack)
    numbers = (share or Share()).of(len(listing.units))
    todo = [n for n in numbers if not is_worked(unit_path(folder, n))]
    count = min(workers or min(os.cpu_count() or 1, MOST_WORKERS), max(1, len(todo)))
    done = len(numbers) - len(todo)
    if count == 1:
        seconds: Counter[str] = Counter()
        for number in todo:
            progress({"done": done, "total": len(numbers), "phase": "units"})
            seconds.update(_work_units(config, listing, folder, [number], pack))
            done += 1
        progress({"done": done, "total": len(numbers), "phase": "units"})
        return dict(seconds)
    shares = [todo[start::count] for start in range(count)]
    return _in_processes(config, listing, folder, shares, done, progress)


def finish(
    config: HarvestConfig,
    sources: Sequence[Source],
    folder: Path,
    work: Path,
    *,
    report: Path,
    labels: Path | None,
    seconds: Mapping[str, float],
) -> str:
    """Make the dataset and the report of units that are all done.

    Returns:
        The dataset's digest.

    Raises:
        UsageError: No picture has two known people; the report says what was found.
        UmoError: A unit is missing.
    """
    listing = list_sources(sources, config.units.block)
    pack = load_pack(config.faces)
    caption = load_captioner(config.captioner)
    units = work_folder(work, config, listing, pack)
    paths = [unit_path(units, number) for number in range(len(listing.units))]
    album = Album(listing, paths, units)
    people = identify(album, config.clusters, config.units.alike)
    choices, rejected = choose(album, people, config.choice)
    agreement = asdict(check(album, people, read_labels(labels))) if labels else None
    summary = {
        **asdict(album.totals),
        "histograms": {name: bins.tolist() for name, bins in album.totals.histograms.items()},
        "clips": int(album["picture.clip"].max(initial=-1)) + 1,
        "good_faces": len(album["face.grade"]),
        "tracks": album.tracks,
        "clusters": int(people.track.max(initial=-1)) + 1,
        "known_people": len(people.known),
        "pictures_rejected": rejected,
        "check": agreement,
    }

    def write(dataset: str) -> None:
        write_report(
            report,
            album,
            people,
            choices,
            config=config,
            summary=summary,
            seconds=seconds,
            dataset=dataset,
        )

    if not choices:
        write("")
        raise UsageError(
            "no picture has two people who are also in other clips: "
            f"{summary['known_people']} known people, {summary['clips']} clips",
            hint=f"see {report / 'report.html'}",
        )
    facts = {
        "config": settings.to_mapping(config),
        "sources": [
            {"kind": source.kind, "licence": source.licence, "consent": source.consent}
            for source in sources
        ],
        "content": album.content,
        LISTING: listing_name(config, listing, pack),
        WORK: units.name,
        FACE_PACK: {"name": pack.name, "digest": pack.digest},
        "harvest": summary,
        "code": lineage.code_version(),
    }
    read = config.units.read
    samples = write_samples(
        album, people, choices, pack=pack, caption=caption, read=read, split=config.split
    )
    digest = write_dataset(samples, folder, facts)
    write(digest)
    return digest


def listing_name(config: HarvestConfig, listing: Listing, pack: FacePack) -> str:
    """Names the dataset that these settings make of these files, before they are read."""
    named = [[source.licence, source.consent] for source in listing.sources]
    data = {"listing": listing.digest, "pack": pack.digest, "named": settings.digest(named)}
    return lineage.identity(config, data=data)


def unit_path(folder: Path, number: int) -> Path:
    """The file of a unit."""
    return folder / f"unit-{number:06d}.safetensors"


def remove_work(work: Path) -> None:
    """Delete the work folder: pictures and embeddings of people."""
    if work.exists():
        shutil.rmtree(work)


def _in_processes(
    config: HarvestConfig,
    listing: Listing,
    folder: Path,
    shares: Sequence[Sequence[int]],
    done: int,
    progress: Progress,
) -> dict[str, float]:
    seconds: Counter[str] = Counter()
    total = done + sum(map(len, shares))
    with ProcessPoolExecutor(len(shares), mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(_work_units, config, listing, folder, share) for share in shares}
        while waiting:
            ended, waiting = wait(waiting, timeout=SECONDS_BETWEEN, return_when=FIRST_EXCEPTION)
            for future in ended:
                seconds.update(future.result())
            ready = sum(unit_path(folder, n).is_file() for share in shares for n in share)
            progress({"done": done + ready, "total": total, "phase": "units"})
    return dict(seconds)


def _work_units(
    config: HarvestConfig,
    listing: Listing,
    folder: Path,
    numbers: Sequence[int],
    pack: FacePack | None = None,
) -> dict[str, float]:
    clock = Clock()
    pack = pack or load_pack(config.faces)
    with one_thread():
        for number in numbers:
            work(listing.units[number], config.units, pack, unit_path(folder, number), clock)
    return dict(clock.seconds)
