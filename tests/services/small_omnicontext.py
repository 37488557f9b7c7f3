"""A small dataset in OmniContext's form: four items, of people who do not exist."""

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from services.small_benchmark import scene, view


def encoded(picture: Image.Image) -> dict[str, Any]:
    stream = io.BytesIO()
    picture.save(stream, format="PNG")
    return {"bytes": stream.getvalue(), "path": None}


def rows() -> list[dict[str, Any]]:
    grey = Image.new("RGB", (96, 96), (120, 120, 120))
    tasks = [
        ("a", "multi_character", [view(0, 0), view(1, 0)]),
        ("b", "single_object", [grey]),
        ("c", "multi_character_object", [view(2, 0), grey]),
        ("d", "single_character", [scene([3, 4], 0)]),
    ]
    return [
        {
            "key": key,
            "task_type": task,
            "instruction": f"Paint {key}",
            "instruction_language": "en",
            "input_images": [encoded(picture) for picture in pictures],
        }
        for key, task, pictures in tasks
    ]


def write_parquet(folder: Path, values: list[dict[str, Any]]) -> Path:
    (folder / "data").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(values), folder / "data/train-00000-of-00001.parquet")
    return folder
