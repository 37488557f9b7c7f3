"""A run in small: its folder as the steps write it, pictures and cosines made by hand."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from safetensors.numpy import save_file

from umo.data.schema import Sample
from umo.data.shards import write_dataset
from umo.evaluation.metrics import METRICS, mean
from umo.files import read_manifest, sha256, write_manifest
from umo.review.compare import Subject
from umo.review.evidence import ASSETS

TILE = 48
PEOPLE = (2, 3, 2, 2, 3, 1, 2, 3)
"""Of the held-out items."""
COLOURS = {"base": (150, 150, 150), "champion": (90, 120, 200), "tuned": (220, 150, 60)}
LEVELS = {"base": 0.2, "champion": 0.6, "tuned": 0.7}
"""Matched cosines."""

Painter = Callable[[str, int, int, str], np.ndarray]
"""Cosines `[M,N]` for a label, item, number of people and embedder."""


def paint(label: str, item: int, people: int, embedder: str) -> np.ndarray:
    """A model that finds everybody; the champion wins item 1, the candidate the others."""
    level = LEVELS[label] + 0.01 * item + (0.02 if embedder == "reward" else 0.0)
    if label == "champion" and item == 1:
        level += 0.25
    return np.full((people, people), 0.05) + np.eye(people) * (level - 0.05)


@dataclass(frozen=True)
class SmallRun:
    """A run folder."""

    folder: Path

    @property
    def train(self) -> Path:
        return self.folder / "train"

    @property
    def evaluation(self) -> Path:
        return self.folder / "evaluation"

    @property
    def tune(self) -> Path:
        return self.folder / "data/tune"

    @property
    def held_out(self) -> Path:
        return self.folder / "data/held-out"

    def subject(self, label: str, name: str) -> Subject:
        lineage = json.loads((self.evaluation / "summary.json").read_text())["lineage"]
        digest = lineage["models"][label]["digest"]
        return Subject(name=name, weights=digest, evaluation=self.evaluation)

    @property
    def candidate(self) -> Subject:
        return self.subject("tuned", "small-candidates 2")

    @property
    def champion(self) -> Subject:
        return self.subject("champion", "small 1")


def sample(key: str, identities: tuple[str, ...], **changes: Any) -> Sample:
    count = len(identities)
    values: dict[str, Any] = {
        "key": key,
        "prompt": f"{count} people in a park",
        "target": np.full((TILE, TILE * count, 3), 99, np.uint8),
        "references": tuple(
            np.full((TILE, TILE, 3), 60 + 40 * slot, np.uint8) for slot in range(count)
        ),
        "boxes": np.zeros((count, 4), np.float32),
        "identities": identities,
        "split": "tune",
        "source": "rendered",
        "licence": "CC0-1.0",
        "consent": "generated",
    }
    return Sample(**values | changes)


def write_lora(folder: Path, value: float, **facts: Any) -> str:
    """A folder as `umo train` leaves it; the digest of the weights."""
    folder.mkdir(parents=True)
    save_file({"w": np.full((2, 2), value, np.float32)}, folder / "lora.safetensors")
    (folder / "metrics.jsonl").write_text(
        '{"step": 1, "reward": 0.1}\n{"step": 2, "reward": 0.2}\n'
    )
    weights = sha256(folder / "lora.safetensors")
    write_manifest(folder, {"kind": "lora", "seed": 3, "weights": weights, **facts})
    return weights


def write_evaluation(
    folder: Path,
    held_out: Path,
    models: dict[str, str],
    *,
    painter: Painter = paint,
    prompt: str = "",
    **terms: Any,
) -> None:
    """A folder as `umo.evaluation.evaluate` leaves it; `models` are labels and weights."""
    dataset = {k: v for k, v in read_manifest(held_out).items() if k != "files"}
    pack = read_manifest(ASSETS / "faces")
    rows = []
    for item, people in enumerate(PEOPLE):
        entry: dict[str, Any] = {
            "key": f"item-{item}",
            "index": item,
            "prompt": prompt or f"{people} people in a park",
            "identities": [f"held-out-{item}-{n}" for n in range(people)],
            "models": {},
        }
        for label in models:
            name = f"pictures/{label}/item-{item}.png"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Pillow.new("RGB", (TILE * people, TILE), COLOURS.get(label)).save(folder / name)
            cosines = {e: painter(label, item, people, e) for e in ("judge", "reward")}
            faces = cosines["judge"].shape[1]
            entry["models"][label] = [
                {
                    "file": name,
                    "seed": item,
                    "boxes": [[TILE * n + 8, 8, TILE * n + 40, 40] for n in range(faces)],
                    **{e: {"similarity": values.tolist()} for e, values in cosines.items()},
                }
            ]
        rows.append(entry)
    ceiling = mean([METRICS["id_sim"](np.eye(2) * 0.85)])
    summary = {
        "base": "base",
        "config": {
            "steps": 12,
            "guidance": 4.0,
            "images_per_prompt": 1,
            "seed": 0,
            "batch": 8,
            "resamples": 500,
            **terms,
        },
        "dataset": {e: {"id_sim": ceiling} for e in ("judge", "reward")},
        "scale": {"same": 0.85, "different": 0.0, "unmeasured": 0},
        "lineage": {
            "base": {"name": "embedded", "digest": read_manifest(ASSETS / "embedded")["digest"]},
            "dataset": dataset,
            "face_pack": {
                "name": "open",
                "digest": pack["digest"],
                "licences": pack["licences"],
                "commercial": pack["commercial"],
            },
            "code": "c" * 64,
            "models": {
                label: {"digest": digest, "made": {}} if digest else {}
                for label, digest in models.items()
            },
        },
    }
    curves = folder / "curves"
    curves.mkdir()
    (curves / "tuned.jsonl").write_text('{"step": 1, "reward": 0.1}\n{"step": 2, "reward": 0.2}\n')
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "scores.json").write_text(json.dumps(rows))
    write_manifest(folder, {"kind": "evaluation", "lineage": summary["lineage"]})


def write_run(
    folder: Path,
    *,
    painter: Painter = paint,
    candidate: float = 0.5,
    champion: float = 0.25,
    **changes: Any,
) -> SmallRun:
    """A run of a candidate and a champion of these weights; `changes` as `write_evaluation`."""
    run = SmallRun(folder)
    write_dataset(
        [sample(f"tune-{n}", (f"tune-{n}", f"tune-{n + 1}")) for n in range(4)],
        run.tune,
        {"split": "tune"},
    )
    write_dataset(
        [
            sample(f"item-{item}", tuple(f"held-out-{item}-{n}" for n in range(people)))
            for item, people in enumerate(PEOPLE)
        ],
        run.held_out,
        {"split": "held-out"},
    )
    pack = read_manifest(ASSETS / "faces")["digest"]
    weights = write_lora(
        run.train,
        candidate,
        base={"name": "embedded", "digest": read_manifest(ASSETS / "embedded")["digest"]},
        data=read_manifest(run.tune)["digest"],
        face_pack={"name": "open", "digest": pack},
        config={"reward": "matching", "lr": 0.001},
        code="c" * 64,
        machine={"system": "Linux", "cores": 2},
    )
    write_evaluation(
        run.evaluation,
        run.held_out,
        {"base": "", "champion": write_lora(folder / "champion", champion), "tuned": weights},
        painter=painter,
        **changes,
    )
    return run
