"""Paint the held-out items with several models and compare them, on equal terms.

Every model gets the same prompts, references and seeds; the seed of a picture depends on its item
and number alone. Faces are found and embedded in the 8-bit pictures that are saved.
"""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image as Pillow

from umo.bases.protocol import ReferenceModel, device_of
from umo.bases.weights import tuned
from umo.config import to_mapping
from umo.data.shards import Dataset
from umo.errors import NotFoundError, UsageError
from umo.evaluation.heldout import Item, Progress, chunks, read_items
from umo.evaluation.measure import EMBEDDERS, Measured, compare, see
from umo.evaluation.metrics import METRICS, mean
from umo.evaluation.report import write_report
from umo.evaluation.summary import Pictures, summarise
from umo.faces.packs import FacePack
from umo.files import MANIFEST, atomic_folder, read_manifest, sha256, write_manifest, write_text
from umo.lineage import code_version
from umo.pixels import to_bytes, to_float

LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How the models are compared."""

    steps: int = 12
    """Euler steps of a picture."""
    guidance: float = 4.0
    """Guidance scale."""
    images_per_prompt: int = 1
    """Pictures of each item by each model."""
    batch: int = 8
    """Items painted at a time."""
    resamples: int = 10_000
    """Of the paired bootstrap."""
    seed: int = 0
    """Of the pictures and of the bootstrap."""

    def __post_init__(self) -> None:
        for name in ("steps", "images_per_prompt", "batch", "resamples"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}", hint="it must be at least 1")


def evaluate(
    models: Mapping[str, Path | None],
    *,
    base: ReferenceModel,
    dataset: Dataset,
    pack: FacePack,
    out: Path,
    config: EvaluationConfig | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Compare models on a held-out dataset; `out` appears whole or not at all.

    Args:
        models: Label -> file of a LoRA or of a whole transformer (`umo.bases.weights.tuned`), None
            for the base itself, which must be there once. `base`, `tuned` and `reference` have
            titles of their own in the report. A `manifest.json` and a `metrics.jsonl` beside a file
            go into lineage and curves.
        base: What was tuned; it keeps its own weights.
        dataset: The held-out items.
        pack: Detector, judge and reward embedder.
        out: Gets `pictures/<label>/<key>.png` (`<key>-<n>.png` from the second picture of a prompt
            on), `curves/<label>.jsonl`, `scores.json`, `summary.json`, `report.html`, `result.png`
            and `manifest.json`. Replaced if it exists.
        config: How to paint and resample.
        progress: Called with `phase` (`references`, then each label), `done` and `total`.

    Returns:
        The summary: see `umo.evaluation.summary.summarise`, with `base`, `config` and `lineage`.

    Raises:
        UsageError: A label or the set of models is wrong, or a reference has no face.
        NotFoundError: A file does not exist.
        DiffersError: Weights do not fit the base.
    """
    config = config or EvaluationConfig()
    report = progress or (lambda line: None)
    base_label = _check(models)
    items = read_items(dataset, pack, config.batch, report)
    with atomic_folder(out) as staged:
        pictures: dict[str, Pictures] = {}
        base.without_lora()
        for label, weights in models.items():
            (staged / "pictures" / label).mkdir(parents=True)
            with tuned(base, weights):
                pictures[label] = _paint(label, items, base, dataset, pack, staged, config, report)
        summary = {
            **summarise(
                items, pictures, base=base_label, resamples=config.resamples, seed=config.seed
            ),
            "base": base_label,
            "config": to_mapping(config),
            "lineage": _lineage(models, base, dataset, pack),
        }
        _write_json(staged / "summary.json", summary)
        _write_json(staged / "scores.json", _scores(items, pictures, config))
        _copy_curves(models, staged / "curves")
        write_report(staged, dataset)
        write_manifest(staged, {"kind": "evaluation", "lineage": summary["lineage"]})
    return summary


def picture_name(key: str, number: int) -> str:
    """File name of picture `number`, from 0, of an item."""
    safe = re.sub(r"[^A-Za-z0-9_.-]", "_", key)
    return f"{safe}.png" if number == 0 else f"{safe}-{number}.png"


def _check(models: Mapping[str, Path | None]) -> str:
    bases = [label for label, lora in models.items() if lora is None]
    if len(bases) != 1:
        raise UsageError(
            f"{len(bases)} of the models {list(models)} have no LoRA", hint="give the base once"
        )
    for label, lora in models.items():
        if not LABEL.fullmatch(label):
            raise UsageError(
                f"the model label {label!r} cannot be a folder name",
                hint="use letters, digits, dot, dash and underscore",
            )
        if lora and not lora.is_file():
            raise NotFoundError(f"no LoRA file at {lora} for {label!r}")
    return bases[0]


def _paint(
    label: str,
    items: list[Item],
    base: ReferenceModel,
    dataset: Dataset,
    pack: FacePack,
    out: Path,
    config: EvaluationConfig,
    report: Progress,
) -> Pictures:
    from umo.training.rollout import sample

    device = device_of(base.transformer)
    painted: dict[int, list[Measured]] = {row: [] for row in range(len(items))}
    done = 0
    for rows in chunks({row: item.shape for row, item in enumerate(items)}, config.batch):
        height, width, _ = items[rows[0]].shape[0]
        conditioning = base.encode(
            [items[row].prompt for row in rows],
            [
                [
                    to_float(torch.from_numpy(picture).to(device))
                    for picture in dataset[items[row].index].references
                ]
                for row in rows
            ],
        )
        for number in range(config.images_per_prompt):
            sampled = sample(
                base,
                conditioning,
                height=height,
                width=width,
                steps=config.steps,
                guidance=config.guidance,
                seeds=[_seed(items[row], number, config) for row in rows],
            )
            pictures = list(to_bytes(sampled).cpu().numpy())
            for row, picture, seen in zip(rows, pictures, see(pack, pictures), strict=True):
                painted[row].append(compare(items[row].embeddings, seen))
                name = picture_name(items[row].key, number)
                Pillow.fromarray(picture).save(out / "pictures" / label / name)
        done += len(rows)
        report({"phase": label, "done": done, "total": len(items)})
    return [painted[row] for row in range(len(items))]


def _seed(item: Item, number: int, config: EvaluationConfig) -> int:
    return config.seed + item.index * config.images_per_prompt + number


def _scores(
    items: list[Item], models: Mapping[str, Pictures], config: EvaluationConfig
) -> list[dict[str, Any]]:
    return [
        {
            "key": item.key,
            "index": item.index,
            "prompt": item.prompt,
            "identities": list(item.identities),
            "models": {
                label: [
                    {
                        "file": f"pictures/{label}/{picture_name(item.key, number)}",
                        "seed": _seed(item, number, config),
                        "boxes": measured.boxes.round(2).tolist(),
                        **{name: _embedder_scores(measured, name) for name in EMBEDDERS},
                    }
                    for number, measured in enumerate(pictures[row])
                ]
                for label, pictures in models.items()
            },
        }
        for row, item in enumerate(items)
    ]


def _embedder_scores(measured: Measured, embedder: str) -> dict[str, Any]:
    similarity = measured.similarity[embedder]
    return {
        "similarity": similarity.round(6).tolist(),
        **{name: mean([metric(similarity)]) for name, metric in METRICS.items()},
    }


def _lineage(
    models: Mapping[str, Path | None], base: ReferenceModel, dataset: Dataset, pack: FacePack
) -> dict[str, Any]:
    about = {key: value for key, value in dataset.manifest.items() if key != "files"}
    return {
        "base": {"name": base.name, "digest": base.digest},
        "dataset": about,
        "face_pack": {
            "name": pack.name,
            "digest": pack.digest,
            "licences": dict(pack.licences),
            "commercial": pack.commercial,
        },
        "code": code_version(),
        "models": {
            label: {"digest": sha256(lora), "made": _made(lora)} if lora else {}
            for label, lora in models.items()
        },
    }


def _made(lora: Path) -> dict[str, Any]:
    if not (lora.parent / MANIFEST).is_file():
        return {}
    return {key: value for key, value in read_manifest(lora.parent).items() if key != "files"}


def _copy_curves(models: Mapping[str, Path | None], folder: Path) -> None:
    folder.mkdir()
    for label, lora in models.items():
        if lora and (curve := lora.parent / "metrics.jsonl").is_file():
            shutil.copyfile(curve, folder / f"{label}.jsonl")


def _write_json(path: Path, values: Any) -> None:
    write_text(path, json.dumps(values, indent=1, allow_nan=False) + "\n")
