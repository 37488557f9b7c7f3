"""Step: score models, or folders of pictures, on a benchmark.

The folder gets

    benchmark/               what is painted, where the benchmark is made here
    pictures/<label>/        a model's pictures, painted where they are missing
    faces/                   what was seen in each picture, so that nothing is looked at twice
    scores/<label>/          scores.json, score files of the public scripts, manifest.json

Several processes or nodes that share the folder may each do a share of the painting and looking;
the step without a share does what is left, and scores: the same to the last digit.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from umo.bases import load_base
from umo.bases.protocol import ReferenceModel
from umo.benchmarks import public
from umo.benchmarks.faces import Gallery, Look
from umo.benchmarks.item import Benchmark, Item
from umo.benchmarks.painting import PaintingConfig, paint_missing
from umo.benchmarks.score import Scorer
from umo.errors import DiffersError, NotFoundError, UsageError
from umo.evaluation.metrics import METRICS, Values, mean
from umo.faces.packs import FacePack, load_pack
from umo.files import MANIFEST, atomic_folder, read_manifest, sha256, write_manifest, write_text
from umo.steps.journal import Progress, ignore
from umo.training.rerefl import LORA

WHOLE = (0, 1)


@dataclass(frozen=True, kw_only=True)
class Contender:
    """What is scored: a LoRA, the base itself, or pictures that are there."""

    label: str
    lora: Path | None = None
    pictures: Path | None = None


def contender(label: str, place: Path | None) -> Contender:
    """The contender of a folder that `umo train` wrote, a LoRA file, or a folder of pictures.

    Args:
        label: What to call it.
        place: None for the base itself.

    Raises:
        NotFoundError: There is nothing.
        DiffersError: A file of a tuned model is not the one that its manifest names.
    """
    if place is None:
        return Contender(label=label)
    if place.is_file():
        return Contender(label=label, lora=place)
    if not place.is_dir():
        raise NotFoundError(f"there is no {place} to score as {label!r}")
    if (place / LORA).is_file():
        read_manifest(place, verify=True)
        return Contender(label=label, lora=place / LORA)
    return Contender(label=label, pictures=place)


def run(
    benchmark: Benchmark,
    contenders: Sequence[Contender],
    *,
    base: str,
    pack: str,
    folder: Path,
    config: PaintingConfig,
    look: Look = "once",
    share: tuple[int, int] = WHOLE,
    processes: int = 1,
    progress: Progress = ignore,
) -> list[dict[str, Any]]:
    """Paint what is missing, look at it, and score it.

    Args:
        benchmark: What to score on.
        contenders: Whom, with labels that differ.
        base: What LoRAs attach to, `embedded` or a folder; loaded only to paint.
        pack: Face pack, `open` or `insightface:<folder>`.
        folder: See the top of the module.
        config: How to paint.
        look: `again` sees faces as the public scripts do.
        share: Which share of how many, from 0; only the whole is scored.
        processes: How many look at pictures.
        progress: Called with `phase`, `done` and `total`.

    Returns:
        For each contender `model`, `folder` of its scores, counts and means; nothing for a share.

    Raises:
        UsageError: Two contenders have one label.
        DiffersError: A LoRA does not fit the base, or other settings painted in the folder.
    """
    labels = [one.label for one in contenders]
    if len(set(labels)) < len(labels):
        raise UsageError(f"two models have one label among {labels}", hint="use LABEL=MODEL")
    device = torch.accelerator.current_accelerator() or torch.device("cpu")
    faces = load_pack(pack).to(device)
    scorer = Scorer(benchmark, Gallery(folder / "faces", faces), look)
    items = benchmark.items[share[0] :: share[1]]
    model = None if all(one.pictures for one in contenders) else load_base(base)
    if model:
        model.to(device)
    results = []
    for one in contenders:
        pictures = one.pictures or folder / "pictures" / one.label
        if model and not one.pictures:
            _paint(one, model, benchmark, items, pictures, config, progress)
        if share != WHOLE or processes > 1:
            for done in scorer.look_ahead(pictures, items, processes):
                progress({"phase": f"look {one.label}", "done": done, "total": len(items)})
        if share == WHOLE:
            scores = scorer.score(one.label, pictures, progress)
            results.append(_write(scores, one, benchmark, faces, folder / "scores" / one.label))
    return results


def refuse_failures(results: Sequence[Mapping[str, Any]]) -> None:
    """End with the count and the first of what could not be scored, if there is any.

    Raises:
        DiffersError: There is.
    """
    failed = [result for result in results if result["failures"]]
    if failed:
        raise DiffersError(
            f"{sum(result['failures'] for result in failed)} things could not be scored, first "
            f"of {failed[0]['model']}: {failed[0]['first_failure']}",
            hint=f"all stand in {failed[0]['folder']}/scores.json",
        )


def _paint(
    one: Contender,
    base: ReferenceModel,
    benchmark: Benchmark,
    items: Sequence[Item],
    pictures: Path,
    config: PaintingConfig,
    progress: Progress,
) -> None:
    base.without_lora()
    if one.lora:
        _check_base(one.lora, base)
        base.load_lora(one.lora)
    paint_missing(
        benchmark,
        items,
        base,
        weights=sha256(one.lora) if one.lora else "",
        folder=pictures,
        config=config,
        progress=progress,
    )
    base.without_lora()


def _check_base(lora: Path, base: ReferenceModel) -> None:
    if not (lora.parent / MANIFEST).is_file():
        return
    wanted = read_manifest(lora.parent).get("base", {}).get("digest", base.digest)
    if wanted != base.digest:
        raise DiffersError(
            f"{lora} was tuned on base {wanted}, this one has digest {base.digest}",
            hint="name its base with --base",
        )


def _write(
    scores: dict[str, Any], one: Contender, benchmark: Benchmark, pack: FacePack, folder: Path
) -> dict[str, Any]:
    failures = scores["failures"]
    with atomic_folder(folder) as staged:
        write_text(staged / "scores.json", json.dumps(scores, allow_nan=False) + "\n")
        if benchmark.name.startswith("xversebench"):
            public.write_xversebench(scores, staged, one.label)
        elif benchmark.name == "omnicontext":
            public.write_omnicontext(scores, staged)
        write_manifest(
            staged,
            {
                "kind": "benchmark-scores",
                "benchmark": scores["benchmark"],
                "model": one.label,
                "weights": sha256(one.lora) if one.lora else "",
                "look": scores["look"],
                "face_pack": {"name": pack.name, "digest": pack.digest},
                "failures": len(failures),
                **benchmark.facts,
            },
        )
    first = failures[0] if failures else None
    return {
        "model": one.label,
        "folder": str(folder),
        "items": scores["benchmark"]["items"],
        "pictures": sum(p["error"] is None for item in scores["items"] for p in item["pictures"]),
        **{name: mean(_values(scores, name)) for name in METRICS},
        "absent": len(scores["absent"]),
        "failures": len(failures),
        "first_failure": " ".join(v for v in (first or {}).values() if v),
    }


def _values(scores: Mapping[str, Any], metric: str) -> list[Values]:
    return [
        METRICS[metric](public.cosines(picture, item["references"]))
        for item in scores["items"]
        for picture in item["pictures"]
        if picture["error"] is None and item["references"]
    ]
