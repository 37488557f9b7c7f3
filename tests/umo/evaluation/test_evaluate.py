"""With the real face pack: a model that copies its references wins, one of strangers loses."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import save_file

from umo.data.schema import Sample
from umo.data.shards import Dataset, write_dataset
from umo.errors import DiffersError, NotFoundError, UsageError
from umo.evaluation.evaluate import EvaluationConfig, evaluate
from umo.evaluation.heldout import chunks
from umo.evaluation.measure import overlap
from umo.files import read_manifest, sha256
from umo.training.rollout import sample

CONFIG = EvaluationConfig(steps=2, batch=4, resamples=500)


def run(
    out: Path,
    models: dict[str, Path | None],
    model: Any,
    dataset: Dataset,
    pack: Any,
    config: EvaluationConfig = CONFIG,
    progress: Any = None,
) -> dict[str, Any]:
    return evaluate(
        models, base=model, dataset=dataset, pack=pack, out=out, config=config, progress=progress
    )


def scores(out: Path) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads((out / "scores.json").read_text())
    return loaded


@pytest.fixture(scope="module")
def summary(compared: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((compared / "summary.json").read_text())
    return loaded


def test_a_perfect_model_wins_and_one_of_strangers_loses(
    summary: dict[str, Any],
) -> None:
    by_judge = {label: score["judge"] for label, score in summary["models"].items()}
    assert by_judge["tuned"]["id_sim"] > 97
    assert (
        by_judge["tuned"]["id_sim"] > by_judge["base"]["id_sim"] > by_judge["strangers"]["id_sim"]
    )
    assert by_judge["tuned"]["id_conf"] > by_judge["base"]["id_conf"]
    assert summary["gain"]["tuned"]["id_sim"]["low"] > 0
    assert summary["gain"]["strangers"]["id_sim"]["mean"] < 0
    assert summary["models"]["tuned"]["faces_found"] == summary["models"]["tuned"]["faces_expected"]
    assert summary["models"]["tuned"]["faces_expected"] == 14
    assert (summary["items"], summary["people"], summary["pictures"]) == (6, 6, 6)
    assert summary["scale"]["different"] < 0.2 < 0.6 < summary["scale"]["same"] < 0.9
    assert summary["scale"]["unmeasured"] == 0
    assert summary["gap_closed"]["tuned"] > 1, "a copy is nearer than another view"
    assert summary["gap_closed"]["strangers"] < 0
    assert {n: part["items"] for n, part in summary["by_people"].items()} == {"2": 4, "3": 2}
    assert summary["dataset"]["faces_found"] == 14


def test_the_summary_follows_from_the_saved_scores(
    compared: Path, summary: dict[str, Any], dataset: Dataset
) -> None:
    saved = scores(compared)
    assert [item["key"] for item in saved] == [sample.key for sample in dataset]
    for label in summary["models"]:
        for embedder in ("judge", "reward"):
            best, confidences = [], []
            for item in saved:
                (picture,) = item["models"][label]
                cosines = picture[embedder]["similarity"]
                for row in cosines:
                    first, *rest = sorted(row, reverse=True)
                    best.append(first)
                    confident = first > 0 and len(row) >= len(cosines)
                    confidences.append(min(max(1 - rest[0] / first, 0), 1) if confident else 0)
            measured = summary["models"][label][embedder]
            assert measured["id_sim"] == pytest.approx(100 * np.mean(best), abs=1e-3)
            assert measured["id_conf"] == pytest.approx(100 * np.mean(confidences), abs=1e-2)
    base = np.mean([item["models"]["base"][0]["judge"]["id_sim"] for item in saved])
    assert 0 < base < 100
    tuned = summary["models"]["tuned"]["judge"]["id_sim"]
    level = summary["models"]["base"]["judge"]["id_sim"]
    same = 100 * summary["scale"]["same"]
    assert summary["gap_closed"]["tuned"] == pytest.approx((tuned - level) / (same - level))
    assert summary["gain"]["tuned"]["id_sim"]["mean"] == pytest.approx(tuned - level)


def test_files_and_lineage(
    compared: Path, summary: dict[str, Any], loras: Path, dataset: Dataset, pack: Any
) -> None:
    manifest = read_manifest(compared, verify=True)
    assert manifest["kind"] == "evaluation"
    files = {"summary.json", "scores.json", "report.html", "result.png", "curves/tuned.jsonl"}
    labels = ("base", "tuned", "strangers")
    pictures = {f"pictures/{label}/item-{n}.png" for label in labels for n in range(6)}
    assert set(manifest["files"]) == files | pictures
    lineage = summary["lineage"]
    tuned = loras / "tuned"
    assert lineage["models"]["tuned"]["digest"] == sha256(tuned / "lora.safetensors")
    assert lineage["models"]["tuned"]["made"]["seed"] == 3
    assert lineage["models"]["base"] == {}
    assert lineage["dataset"]["digest"] == dataset.digest
    assert lineage["face_pack"]["digest"] == pack.digest


def test_progress_reaches_the_end_and_base_keeps_no_lora(
    tmp_path: Path, lora: Callable[..., Path], model: Any, dataset: Dataset, pack: Any
) -> None:
    seen: list[dict[str, Any]] = []
    models = {"base": None, "tuned": lora("copies", keep=1.0)}
    run(tmp_path / "out", models, model, dataset, pack, progress=seen.append)
    for phase in ("references", "base", "tuned"):
        assert [line["done"] for line in seen if line["phase"] == phase][-1] == 6
    assert (model.keep, model.shift) == (0.5, 0)


def test_pictures_are_those_of_the_model_and_do_not_depend_on_the_batch(
    tmp_path: Path, model: Any, dataset: Dataset, pack: Any
) -> None:
    config = replace(CONFIG, images_per_prompt=2)
    together = run(tmp_path / "a", {"base": None}, model, dataset, pack, config)
    alone = run(tmp_path / "b", {"base": None}, model, dataset, pack, replace(config, batch=1))
    assert together["pictures"] == alone["pictures"] == 12
    judged = together["models"]["base"]["judge"]
    assert judged == pytest.approx(alone["models"]["base"]["judge"], rel=1e-3)
    item = dataset[1]
    references = [torch.tensor(r).permute(2, 0, 1) / 127.5 - 1 for r in item.references]
    (picture,) = sample(
        model,
        model.encode([item.prompt], [references]),
        height=96,
        width=288,
        steps=2,
        guidance=4.0,
        seeds=[3],
    )
    with Pillow.open(tmp_path / "a" / "pictures" / "base" / "item-1-1.png") as image:
        saved = np.asarray(image)
    assert scores(tmp_path / "a")[1]["models"]["base"][1]["seed"] == 3
    painted = ((picture.permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).numpy()
    assert np.abs(painted - saved).max() <= 1


def test_the_same_seed_gives_the_same_files(
    tmp_path: Path, compared: Path, loras: Path, model: Any, dataset: Dataset, pack: Any
) -> None:
    models = {"base": None} | {
        label: loras / label / "lora.safetensors" for label in ("tuned", "strangers")
    }
    again = run(tmp_path / "out", models, model, dataset, pack)
    assert again == json.loads((compared / "summary.json").read_text())
    assert read_manifest(tmp_path / "out")["digest"] == read_manifest(compared)["digest"]


def test_a_reference_without_a_face_is_named(
    tmp_path: Path, sample_of: Callable[[str, Sequence[int]], Sample], model: Any, pack: Any
) -> None:
    good = sample_of("good", [0, 1])
    blank = np.full_like(good.references[0], 127)
    bad = replace(good, key="bad", references=(good.references[0], blank))
    write_dataset([good, bad], tmp_path / "data", {})
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="1 references, first reference 2 of 'bad'"):
        run(out, {"base": None}, model, Dataset(tmp_path / "data"), pack)
    assert not out.exists()


def test_an_item_without_references_is_named(
    tmp_path: Path, sample_of: Callable[[str, Sequence[int]], Sample], model: Any, pack: Any
) -> None:
    empty = replace(
        sample_of("empty", [0]), references=(), identities=(), boxes=np.zeros((0, 4), np.float32)
    )
    write_dataset([empty], tmp_path / "data", {})
    with pytest.raises(UsageError, match="'empty' has no reference"):
        run(tmp_path / "out", {"base": None}, model, Dataset(tmp_path / "data"), pack)


def test_missing_faces_score_zero_and_are_counted(
    tmp_path: Path, lora: Callable[..., Path], model: Any, dataset: Dataset, pack: Any
) -> None:
    models = {"base": None, "tuned": lora("overexposed", keep=40.0)}
    summary = run(tmp_path / "out", models, model, dataset, pack)
    assert summary["models"]["tuned"]["faces_found"] < 14
    assert summary["gain"]["tuned"]["id_sim"]["mean"] < 0
    assert math.isfinite(summary["models"]["tuned"]["judge"]["id_conf"])


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({}, "0 of the models"),
        ({"base": None, "other": None}, "2 of the models"),
        ({"a/b": None}, "cannot be a folder name"),
    ],
)
def test_wrong_sets_of_models_are_refused(
    tmp_path: Path, models: dict[str, Any], message: str, model: Any, dataset: Dataset, pack: Any
) -> None:
    with pytest.raises(UsageError, match=message):
        run(tmp_path / "out", models, model, dataset, pack)


def test_a_lora_that_is_missing_or_does_not_fit_leaves_nothing(
    tmp_path: Path, model: Any, dataset: Dataset, pack: Any
) -> None:
    out = tmp_path / "out"
    with pytest.raises(NotFoundError, match=r"no LoRA file at .*nowhere"):
        run(out, {"base": None, "tuned": tmp_path / "nowhere"}, model, dataset, pack)
    wrong = tmp_path / "wrong.safetensors"
    save_file({"weight": torch.zeros(1)}, wrong)
    with pytest.raises(DiffersError, match="weight"):
        run(out, {"base": None, "tuned": wrong}, model, dataset, pack)
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.safetensors"]


def test_config_refuses_nonsense() -> None:
    with pytest.raises(UsageError, match="steps is 0"):
        EvaluationConfig(steps=0)


def test_chunks_are_of_one_shape_and_lose_nothing() -> None:
    shapes = {index: "ab"[index % 2] for index in range(7)}
    assert list(chunks(shapes, 3)) == [[0, 2, 4], [6], [1, 3, 5]]


def test_overlap() -> None:
    boxes = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6]], dtype=float)
    assert overlap(np.array([0.0, 0, 2, 2]), boxes) == pytest.approx([1, 1 / 3, 0])
    assert overlap(np.array([0.0, 0, 2, 2]), np.zeros((0, 4))).shape == (0,)
