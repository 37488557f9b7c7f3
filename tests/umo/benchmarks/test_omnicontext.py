"""OmniContext: parquet or arrow in, its layout of pictures, its score file out."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from services.small_benchmark import cosines, scene
from services.small_omnicontext import rows, write_parquet
from umo.benchmarks.faces import Gallery
from umo.benchmarks.item import Benchmark
from umo.benchmarks.omnicontext import omnicontext_benchmark
from umo.benchmarks.public import write_omnicontext
from umo.benchmarks.score import Scorer
from umo.errors import NotFoundError, UmoError


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    return omnicontext_benchmark(tmp_path / "made", str(write_parquet(tmp_path / "data", rows())))


def test_tasks_with_people(benchmark: Benchmark) -> None:
    assert (benchmark.name, benchmark.grid) == ("omnicontext", 1)
    assert [(item.key, item.group) for item in benchmark.items] == [
        ("a", "multi_character"),
        ("c", "multi_character_object"),
        ("d", "single_character"),
    ]
    assert benchmark.items[0].file == "fullset/multi_character/a.png"
    assert [len(item.references) for item in benchmark.items] == [2, 2, 1]
    assert benchmark.absent == []


def test_arrow_and_parquet_are_the_same(benchmark: Benchmark, tmp_path: Path) -> None:
    table = pa.Table.from_pylist(rows())
    (tmp_path / "arrow").mkdir()
    with pa.ipc.new_stream(tmp_path / "arrow/data-00000-of-00001.arrow", table.schema) as stream:
        stream.write_table(table)
    again = omnicontext_benchmark(tmp_path / "from-arrow", str(tmp_path / "arrow"))
    assert again.version == benchmark.version


def test_scores_in_its_layout_and_scales(
    benchmark: Benchmark, gallery: Gallery, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    shown = {"a": scene([0, 1]), "c": scene([]), "d": scene([0])}
    for item in benchmark.items:
        (results / item.file).parent.mkdir(parents=True, exist_ok=True)
        shown[item.key].save(results / item.file)
    scores = Scorer(benchmark, gallery, "again").score("pasted", results, lambda facts: None)
    assert scores["failures"] == []
    assert [len(item["references"]) for item in scores["items"]] == [2, 1, 1], "a face in each"
    assert scores["alike"] == []
    write_omnicontext(scores, tmp_path)
    written = json.loads((tmp_path / "ID/score.json").read_text())
    a, d = cosines(scores, "a", 0), cosines(scores, "d", 0)
    best = [*a.max(axis=1), 0, *d.max(axis=1)]
    assert written["ID-Sim"]["avg"] == pytest.approx(10 * np.mean(best))
    assert written["ID-Sim"]["multi_character_object"] == 0
    ratios = np.clip(1 - a.min(axis=1) / a.max(axis=1), None, 1)
    assert written["ID-Conf"] == pytest.approx(
        {"avg": 10 * ratios.mean(), "multi_character": 10 * ratios.mean()}
    )


def test_wrong_rows_are_named(tmp_path: Path) -> None:
    wrong = rows()
    wrong[1] = {**wrong[0], "instruction": "Again"}
    wrong[2]["instruction"] = ""
    wrong[3]["input_images"][0]["bytes"] = None
    made = omnicontext_benchmark(tmp_path / "made", str(write_parquet(tmp_path / "data", wrong)))
    assert [item.prompt for item in made.items] == ["Paint a"]
    assert [(failure.key, failure.error) for failure in made.failures] == [
        ("a", "the item is there twice"),
        ("c", "it has no instruction or no input_images"),
        ("d", "input picture 0 is not in the file"),
    ]


def test_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no \*\.parquet or \*\.arrow"):
        omnicontext_benchmark(tmp_path / "made", str(tmp_path))
    (tmp_path / "x.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(UmoError, match="damaged or no OmniContext"):
        omnicontext_benchmark(tmp_path / "made", str(tmp_path))
    assert not (tmp_path / "made").exists()
