"""The step on scores and pictures made by hand, with a tiny DINO and answers to questions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import ViTConfig, ViTModel

from umo.benchmarks.measures.dino import Dino
from umo.benchmarks.measures.diversity import Diversity
from umo.benchmarks.measures.measure import Painted
from umo.errors import DiffersError, NotFoundError, UsageError
from umo.files import read_manifest, write_manifest
from umo.steps.measure import MeasureConfig, run

PROMPTS = ("a man and a dog", "a cat/on a mat\n", "nobody painted this")
SIDE = 24


@pytest.fixture(scope="module")
def dino(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("dino")
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        patch_size=32,
    )
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Grids of 2 x 2 for the first two items, one of them in a folder further down."""
    rng = np.random.default_rng(0)
    for key, folder in ((0, tmp_path / "pictures"), (1, tmp_path / "pictures" / "character")):
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (2 * SIDE, 2 * SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{key}_item.png")
    return tmp_path / "pictures"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    scores = {
        "benchmark": {"name": "by-hand", "version": "1", "items": 3, "pictures": 4},
        "items": [
            {
                "key": str(key),
                "prompt": prompt,
                "pictures": [
                    {
                        "name": f"{key}_item.png#{number}",
                        "error": "there is no picture" if key == 2 else None,
                        "measures": {},
                    }
                    for number in range(4)
                ],
            }
            for key, prompt in enumerate(PROMPTS)
        ],
    }
    folder = tmp_path / "scores"
    folder.mkdir()
    (folder / "scores.json").write_text(json.dumps(scores))
    (folder / "id_scores_by-hand.txt").write_text("ID Score: 1.00\n")
    write_manifest(folder, {"kind": "benchmark-scores", "model": "base"})
    return folder


@pytest.fixture
def dpg(tmp_path: Path) -> dict[str, Path]:
    """One question a prompt; the first item has two pictures with yes, one with no, one other."""
    asked = [
        {"prompt": prompt, "qid2question": {"1": "Is it?"}, "qid2dependency": {"1": [0]}}
        for prompt in PROMPTS
    ]
    answers = {"0": [{"Is it?": answer} for answer in ("yes", "no", "yes", "who knows")]}
    (tmp_path / "questions.json").write_text(json.dumps(asked))
    (tmp_path / "answers.json").write_text(json.dumps(answers))
    return {
        "dpg_answers": tmp_path / "answers.json",
        "dpg_questions": tmp_path / "questions.json",
    }


def written(folder: Path) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads((folder / "scores.json").read_text())["items"]
    return items


def by_name(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["measure"]: row for row in rows}


def test_values_go_to_the_pictures_and_the_rest_is_not_measured(
    folder: Path, pictures: Path, dino: str, dpg: dict[str, Path]
) -> None:
    lines: list[dict[str, Any]] = []
    config = MeasureConfig(diversity=dino, **dpg)
    rows = by_name(run(config, folder=folder, pictures=pictures, progress=lines.append))
    items = written(folder)
    with Image.open(pictures / "character" / "1_item.png") as grid:
        pixels = np.asarray(grid)
    cells = [pixels[y : y + SIDE, x : x + SIDE] for y in (0, SIDE) for x in (0, SIDE)]
    expected = Diversity(Dino(dino)).of(Painted(key="1", prompt="", pictures=cells))
    assert [p["measures"]["diversity"] for p in items[1]["pictures"]] == pytest.approx(
        expected, abs=1e-3
    )
    assert [p["measures"].get("dpg") for p in items[0]["pictures"]] == [100, 0, 100, None]
    assert [p["measures"] for p in items[2]["pictures"]] == [{}] * 4
    assert rows["dpg"]["mean"] == pytest.approx(200 / 3)
    assert (rows["dpg"]["pictures"], rows["dpg"]["total"]) == (3, 12)
    for name in ("prompt_following", "picture_quality", "ip_sim"):
        assert rows[name] == {"measure": name, "mean": None, "pictures": 0, "total": 12}
    manifest = read_manifest(folder, verify=True)
    assert manifest["model"] == "base"
    assert manifest["measures"]["diversity"]["model"].startswith("DINO model.safetensors ")
    assert "id_scores_by-hand.txt" in manifest["files"]
    assert lines[-1] == {"phase": "dpg", "done": 3, "total": 3}


def test_what_was_measured_is_not_measured_again(
    folder: Path, pictures: Path, dino: str, dpg: dict[str, Path]
) -> None:
    run(MeasureConfig(diversity=dino), folder=folder, pictures=pictures)
    phases: list[Any] = []
    config = MeasureConfig(diversity=dino, **dpg)
    run(
        config,
        folder=folder,
        pictures=pictures,
        progress=lambda line: phases.append(line["phase"]),
    )
    assert phases == ["dpg"] * 3
    assert "diversity" in written(folder)[0]["pictures"][0]["measures"]


def test_a_damaged_picture_is_named_and_the_others_are_measured(
    folder: Path, pictures: Path, dino: str
) -> None:
    whole = (pictures / "0_item.png").read_bytes()
    (pictures / "0_item.png").write_bytes(whole[:100])
    config = MeasureConfig(diversity=dino)
    with pytest.raises(DiffersError, match=r"1 files could not be measured, first 0_item\.png"):
        run(config, folder=folder, pictures=pictures)
    items = written(folder)
    assert [p["measures"] for p in items[0]["pictures"]] == [{}] * 4
    assert all("diversity" in p["measures"] for p in items[1]["pictures"])
    (pictures / "0_item.png").write_bytes(whole)
    rows = by_name(run(config, folder=folder, pictures=pictures))
    assert rows["diversity"]["pictures"] == 8
    (pictures / "character" / "0_item.png").write_bytes(whole)
    with pytest.raises(DiffersError, match=r"first 0_item\.png: there are 2 files of that name"):
        run(MeasureConfig(diversity=dino), folder=unmeasured(folder), pictures=pictures)


def unmeasured(folder: Path) -> Path:
    write_manifest(folder, {"kind": "benchmark-scores"})
    return folder


def test_wrong_folders_and_settings(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no folder of pictures"):
        run(MeasureConfig(), folder=folder, pictures=tmp_path / "nowhere")
    write_manifest(folder, {"kind": "dataset"})
    with pytest.raises(UsageError, match="holds a 'dataset', not 'benchmark-scores'"):
        run(MeasureConfig(), folder=folder, pictures=tmp_path)
    with pytest.raises(UsageError, match="ip_sim is given without detector, items, references"):
        MeasureConfig(ip_sim="dino")
    with pytest.raises(UsageError, match="dpg_answers is given without dpg_questions"):
        MeasureConfig(dpg_answers=tmp_path)
