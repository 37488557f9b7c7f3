"""Scoring the way of the public scripts, slow and obvious: everything anew for every pair.

From their description alone, with nothing of `umo.benchmarks`: two passes, one for ID-Sim and one
for ID-Conf; in each, every picture is read and its faces are found; for every person asked for and
every face, both are found again, aligned, embedded and compared.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from umo.faces.align import align
from umo.faces.packs import FacePack

Scores = list[dict[str, float]]
"""One of each picture: score by name of the reference."""


def id_sim(pack: FacePack, references: dict[str, Path], grid: Path) -> Scores:
    """The best face for each reference, 0 to 100; 0 without a face."""
    scores = []
    people = {name: Image.open(path).convert("RGB") for name, path in references.items()}
    for picture in split_grid(grid):
        faces = cut_faces(pack, picture)
        scores.append(
            {
                name: max((compare(pack, real, face) for face in faces), default=0.0)
                for name, real in people.items()
            }
        )
    return scores


def id_conf(pack: FacePack, references: dict[str, Path], grid: Path) -> Scores:
    """How far the second best face is behind, 0 to 1; nothing where there is one face or none."""
    scores: Scores = []
    people = {name: Image.open(path).convert("RGB") for name, path in references.items()}
    for picture in split_grid(grid):
        faces = cut_faces(pack, picture)
        scores.append({})
        for name, real in people.items():
            if len(faces) > 1:
                second, best = sorted(compare(pack, real, face) for face in faces)[-2:]
                scores[-1][name] = min(1, (best - second) / best) if best > 0 else 0
    return scores


def split_grid(path: Path) -> list[Image.Image]:
    with Image.open(path) as opened:
        grid = opened.convert("RGB")
    width, height = grid.width // 2, grid.height // 2
    corners = [(0, 0), (width, 0), (0, height), (width, height)]
    return [grid.crop((x, y, x + width, y + height)) for x, y in corners]


def cut_faces(pack: FacePack, picture: Image.Image) -> list[Image.Image]:
    cuts = []
    for left, top, right, bottom in find(pack, picture).boxes.tolist():
        x, y, w, h = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
        grown = (x - 0.65 * w, y - 0.65 * h, x + 0.65 * w, y + 0.65 * h)
        edges = np.array(grown).round().astype(int)
        left, right = np.clip(edges[[0, 2]], 0, picture.width)
        top, bottom = np.clip(edges[[1, 3]], 0, picture.height)
        cuts.append(picture.crop((int(left), int(top), int(right), int(bottom))))
    return cuts


def compare(pack: FacePack, real: Image.Image, face: Image.Image) -> float:
    """100 times the cosine of the first faces of two pictures; 0 if one has none."""
    embeddings = []
    for picture in (real, face):
        found = find(pack, picture)
        if not len(found):
            return 0.0
        judge = pack.judge
        crop = align(
            pixels(picture).permute(0, 3, 1, 2) / 127.5 - 1,
            found.landmarks[:1],
            torch.zeros(1, dtype=torch.long),
            judge.template,
            judge.size,
        )
        with torch.no_grad():
            embeddings.append(judge(crop)[0].double())
    return 100 * float(embeddings[0] @ embeddings[1])


def find(pack: FacePack, picture: Image.Image):
    (faces,) = pack.detector.detect(pixels(picture))
    return faces


def pixels(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(picture))[None]


def mean(scores: Sequence[Scores]) -> float:
    """The plain mean over everything."""
    return float(np.mean([v for item in scores for one in item for v in one.values()]))
