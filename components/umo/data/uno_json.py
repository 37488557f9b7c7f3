"""Datasets as UNO's training code reads them: a JSON list beside a folder of pictures.

`prompt`, `image_paths` (the references) and `image_tgt_path` are what bytedance/UNO reads, paths
being relative to the file. What else a sample has stands beside them under its own name; UNO looks
at none of it, and reading it again gives the very same dataset.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umo.data.collect import carried
from umo.data.filters import Likeness, recognised
from umo.data.rows import pixels
from umo.data.schema import Image, Sample
from umo.data.shards import FACE_PACK, Dataset, write_dataset
from umo.errors import NotFoundError, UsageError
from umo.faces.packs import FacePack
from umo.files import MANIFEST, atomic_folder, read_manifest, write_manifest

JSON = "samples.json"
PLAIN = ("key", "split", "source", "licence", "consent", "quality")
ARRAYS = ("boxes", "landmarks", "embeddings")
ANYBODY = Likeness(judge=-1, reward=-1, stranger=1, bystanders=True)
"""Whoever is nearest is the person of a reference: foreign files do not say who is where."""


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """What a file that umo did not write does not say of its samples."""

    licence: str
    """Licence of the pictures."""
    consent: str
    """How the people consented."""
    split: str = "tune"
    """`pretrain`, `tune` or `held-out`."""


def export_uno(source: Path | str, out: Path) -> int:
    """Write a dataset as `samples.json` and PNG files.

    Args:
        source: The dataset.
        out: Folder, replaced if it exists.

    Returns:
        The number of samples.
    """
    dataset = Dataset(source)
    with atomic_folder(out) as staged:
        (staged / "pictures").mkdir()
        with (staged / JSON).open("w") as stream:
            stream.write("[")
            for number, row in enumerate(dataset.rows()):
                item = _item(row, f"pictures/{number:06d}", staged)
                stream.write(("," if number else "") + "\n" + json.dumps(item))
            stream.write("\n]\n")
        facts = {"kind": "uno json", "dataset": dataset.digest, **carried(dataset)}
        write_manifest(staged, facts)
    return len(dataset)


def import_uno(
    path: Path, out: Path | str, foreign: Foreign | None, pack: Callable[[], FacePack]
) -> dict[str, Any]:
    """Write the samples of a JSON file as a dataset.

    Args:
        path: The file.
        out: A folder, or `s3://bucket/prefix`; replaced if it exists.
        foreign: What a file that umo did not write does not say; each of its reference files is a
            person then, who is looked for in the target.
        pack: Loads the face pack that looks.

    Returns:
        `digest`, `samples`, and `rejected`, a count by reason.

    Raises:
        NotFoundError: There is no such file.
        UsageError: It is not a list of samples, or says less than it must.
    """
    if not path.is_file():
        raise NotFoundError(f"no file {path}")
    try:
        items = json.loads(path.read_text())
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}") from error
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise UsageError(f"{path} is not a list of samples", hint="as UNO's training data")
    rejected: dict[str, int] = {}

    def reject(key: str, reason: str) -> None:
        rejected[reason] = rejected.get(reason, 0) + 1

    facts: dict[str, Any] = {"imported": path.name, "rejected": rejected}
    if items and "identities" in items[0]:
        if (path.parent / MANIFEST).is_file():
            manifest = read_manifest(path.parent)
            facts |= {name: manifest[name] for name in (FACE_PACK, "forgotten") if name in manifest}
        samples: Iterator[Sample] = (_ours(path.parent, item) for item in items)
    else:
        if foreign is None:
            raise UsageError(
                f"{path} does not say the licence of its pictures and how their people consented",
                hint="give --licence and --consent",
            )
        faces = pack()
        facts[FACE_PACK] = {"name": faces.name, "digest": faces.digest}
        unknown = _foreign(path.parent, items, foreign, reject)
        samples = recognised(unknown, faces, ANYBODY, reject)
    digest = write_dataset(samples, out, facts)
    return {"digest": digest, "samples": len(Dataset(out)), "rejected": rejected}


def _item(row: dict[str, Any], stem: str, folder: Path) -> dict[str, Any]:
    def write(name: str, encoded: bytes) -> str:
        (folder / f"{stem}-{name}.png").write_bytes(encoded)
        return f"{stem}-{name}.png"

    return {
        "prompt": row["prompt"],
        "image_tgt_path": write("target", row["target"]),
        "image_paths": [write(f"{n}", encoded) for n, encoded in enumerate(row["references"])],
        "views": [
            [write(f"{n}-{v}", encoded) for v, encoded in enumerate(views)]
            for n, views in enumerate(row["views"])
        ],
        "identities": row["identities"],
        **{name: row[name] for name in (*PLAIN, *ARRAYS)},
    }


def _ours(folder: Path, item: dict[str, Any]) -> Sample:
    try:
        landmarks, embeddings = _array(item["landmarks"]), _array(item["embeddings"])
        return Sample(
            prompt=item["prompt"],
            target=_open(folder, item["image_tgt_path"]),
            references=tuple(_open(folder, name) for name in item["image_paths"]),
            views=tuple(tuple(_open(folder, n) for n in views) for views in item["views"]),
            boxes=np.array(item["boxes"], np.float32).reshape(-1, 4),
            landmarks=None if landmarks is None else landmarks.reshape(-1, 5, 2),
            embeddings=embeddings,
            identities=tuple(item["identities"]),
            **{name: item[name] for name in PLAIN},
        )
    except KeyError as error:
        raise UsageError(
            f"sample {item.get('key', item['prompt'])!r} in {folder} does not say {error}",
            hint="export it again",
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise UsageError(f"sample {item['key']!r} cannot be read: {error}") from error


def _array(values: list[list[float]] | None) -> NDArray[np.float32] | None:
    return None if values is None else np.array(values, np.float32)


def _foreign(
    folder: Path,
    items: list[dict[str, Any]],
    foreign: Foreign,
    reject: Callable[[str, str], None],
) -> Iterator[Sample]:
    for number, item in enumerate(items):
        names = [item["image_path"]] if "image_path" in item else item.get("image_paths", [])
        if not names or not item.get("prompt") or not item.get("image_tgt_path"):
            reject(str(number), "no prompt, target or reference")
            continue
        if len(set(names)) < len(names):
            reject(str(number), "a reference that is there twice")
            continue
        try:
            target = _open(folder, item["image_tgt_path"])
            references = tuple(_open(folder, name) for name in names)
        except (OSError, SyntaxError, ValueError):
            reject(str(number), "a picture that is missing or cannot be read")
            continue
        yield Sample(
            key=f"{number:07d}",
            prompt=item["prompt"],
            target=target,
            references=references,
            boxes=np.zeros((len(references), 4), np.float32),
            identities=tuple(names),
            split=foreign.split,
            source="imported",
            licence=foreign.licence,
            consent=foreign.consent,
        )


def _open(folder: Path, name: str) -> Image:
    return pixels((folder / name).read_bytes())
