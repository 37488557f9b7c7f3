"""Step: measure the pictures of scores beside identity, by the models that the user names.

The values go to `measures` of each picture in scores.json, and what measured them to the manifest.
One model is in memory at a time, and the folder is written after each, so a step that was
interrupted goes on with the next; what the same model has measured stays.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any

from umo.benchmarks.measures.dino import Dino
from umo.benchmarks.measures.diversity import Diversity
from umo.benchmarks.measures.dpg import Dpg
from umo.benchmarks.measures.ip_sim import Finder, IpSim, read_subjects
from umo.benchmarks.measures.measure import MEASURES, Measure, Painted
from umo.benchmarks.measures.picture_quality import PictureQuality
from umo.benchmarks.measures.prompt_following import PromptFollowing
from umo.benchmarks.pictures import read_cells
from umo.errors import DiffersError, NotFoundError, UmoError, UsageError
from umo.files import MANIFEST, atomic_folder, read_manifest, write_manifest, write_text
from umo.steps.journal import Progress, ignore

SCORES = "scores.json"
KIND = "benchmark-scores"
DECIMALS = 4


@dataclass(frozen=True, kw_only=True)
class MeasureConfig:
    """Which models measure, each a folder or `hub:NAME`; what is not named is not measured."""

    prompt_following: str = ""
    """CLIP or SigLIP."""
    picture_quality: str = ""
    """Folder with SigLIP's picture encoder and the aesthetic head."""
    diversity: str = ""
    """DINO."""
    ip_sim: str = ""
    """DINO; then the next three are needed too."""
    detector: str = ""
    """OWLv2."""
    items: Path | None = None
    """`XVerseBench_single.json` or `XVerseBench_multi.json`."""
    references: Path | None = None
    """Folder with `object/` and `animal/`."""
    dpg_answers: Path | None = None
    """`dpg_scores_*.json` of the public scripts."""
    dpg_questions: Path | None = None
    """`XVerseBench_multi_DSG.json`."""

    def __post_init__(self) -> None:
        self._together("ip_sim", "detector", "items", "references")
        self._together("dpg_answers", "dpg_questions")

    def _together(self, *names: str) -> None:
        given = [name for name in names if getattr(self, name)]
        missing = [name for name in names if name not in given]
        if given and missing:
            raise UsageError(f"{given[0]} is given without {', '.join(missing)}")


def build(config: MeasureConfig) -> Iterator[Measure]:
    """Load the measures that are named, one after the other.

    Raises:
        NotFoundError: A folder or file does not exist.
        UsageError: It holds no such model.
    """
    if config.prompt_following:
        yield PromptFollowing(config.prompt_following)
    if config.picture_quality:
        yield PictureQuality(config.picture_quality)
    if config.diversity:
        yield Diversity(Dino(config.diversity))
    if config.items and config.references:
        subjects = read_subjects(config.items, config.references)
        yield IpSim(Dino(config.ip_sim), Finder(config.detector), subjects)
    if config.dpg_answers and config.dpg_questions:
        yield Dpg(config.dpg_answers, config.dpg_questions)


def run(
    config: MeasureConfig, *, folder: Path, pictures: Path, progress: Progress = ignore
) -> list[dict[str, Any]]:
    """Measure what the scores in `folder` are of.

    Args:
        config: By what.
        folder: With scores.json; it is replaced after each measure.
        pictures: Folder of the pictures, or one above.
        progress: Called with `phase`, `done` and `total` items.

    Returns:
        For each known measure `measure`, its `mean`, or None if it is not measured, and how many
        `pictures` of `total` have it.

    Raises:
        NotFoundError: The folder has no manifest, or a model or file does not exist.
        UsageError: The folder holds no scores, or a folder no such model.
        DiffersError: A file of the folder is not the one that was written, or pictures could not be
            read; the others are measured then.
    """
    manifest = read_manifest(folder, verify=True)
    if manifest.get("kind") != KIND:
        raise UsageError(
            f"{folder} holds a {manifest.get('kind')!r}, not {KIND!r}",
            hint="name a folder below `scores` of `umo evaluate`",
        )
    if not pictures.is_dir():
        raise NotFoundError(f"no folder of pictures at {pictures}")
    scores = json.loads((folder / SCORES).read_text(encoding="utf-8"))
    grid, items = isqrt(scores["benchmark"]["pictures"]), scores["items"]
    files: dict[str, list[Path]] = {}
    for path in sorted(pictures.rglob("*.png")):
        files.setdefault(path.name, []).append(path)
    made: dict[str, Mapping[str, str]] = dict(manifest.get("measures", {}))
    unread: dict[str, str] = {}
    for measure in build(config):
        if made.get(measure.name) == measure.made:
            continue
        failures: dict[str, str] = {}
        for done, item in enumerate(items, 1):
            _measure(measure, item, files, grid, failures)
            progress({"phase": measure.name, "done": done, "total": len(items)})
        unsure = {"unread": str(len(failures))} if failures else {}
        made[measure.name] = {**measure.made, **unsure}
        _write(folder, scores, {**manifest, "measures": made})
        unread |= failures
    if unread:
        name, error = next(iter(unread.items()))
        raise DiffersError(f"{len(unread)} files could not be measured, first {name}: {error}")
    return summary(items)


def summary(items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Means over all pictures, see `run`."""
    found = [picture["measures"] for item in items for picture in item["pictures"]]
    rows = []
    for name in MEASURES:
        values = [measures[name] for measures in found if name in measures]
        mean = sum(values) / len(values) if values else None
        rows.append({"measure": name, "mean": mean, "pictures": len(values), "total": len(found)})
    return rows


def _measure(
    measure: Measure,
    item: Mapping[str, Any],
    files: Mapping[str, list[Path]],
    grid: int,
    failures: dict[str, str],
) -> None:
    """Put the values of one item into it; none for pictures that could not be scored."""
    entries = item["pictures"]
    for entry in entries:
        entry["measures"].pop(measure.name, None)
    if any(entry["error"] for entry in entries):
        return
    name = entries[0]["name"].rpartition("#")[0]
    try:
        if len(found := files.get(name, [])) != 1:
            raise NotFoundError(f"there are {len(found)} files of that name")
        cells = read_cells(found[0].read_bytes(), grid)
    except UmoError as unreadable:
        failures[name] = str(unreadable)
        return
    values = measure.of(Painted(key=item["key"], prompt=item["prompt"], pictures=cells))
    for entry, value in zip(entries, values, strict=True):
        if value is not None:
            entry["measures"][measure.name] = round(value, DECIMALS)


def _write(folder: Path, scores: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    with atomic_folder(folder) as staged:
        shutil.copytree(folder, staged, dirs_exist_ok=True)
        (staged / MANIFEST).unlink()
        write_text(staged / SCORES, json.dumps(scores, allow_nan=False) + "\n")
        write_manifest(staged, facts)
