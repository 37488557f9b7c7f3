"""Who stands beside whom, and who gained, from the pictures' own cosines."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from umo.errors import DiffersError, NotFoundError
from umo.files import read_manifest, write_manifest
from umo.review.compare import BASE, CANDIDATE, CHAMPION, compare


def test_base_and_candidate_of_one_evaluation(small: Any) -> None:
    comparison = compare(small.candidate)
    assert comparison.roles == (BASE, CANDIDATE)
    assert comparison.names == {BASE: "embedded", CANDIDATE: "small-candidates 2"}
    assert comparison.labels == {BASE: "base", CANDIDATE: "tuned"}
    assert [len(item.identities) for item in comparison.items] == [2, 3, 2, 2, 3, 1, 2, 3]
    gain = comparison.gain("id_sim")
    assert gain.mean == pytest.approx(50)
    assert gain.low == pytest.approx(50), "every item gains the same"
    assert not comparison.note


def test_a_champion_painted_in_the_same_evaluation(small: Any) -> None:
    comparison = compare(small.candidate, small.champion)
    assert comparison.roles == (BASE, CHAMPION, CANDIDATE)
    values = comparison.values(CANDIDATE, "id_sim"), comparison.values(CHAMPION, "id_sim")
    differences = [float(a.mean() - b.mean()) for a, b in zip(*values, strict=True)]
    assert differences == pytest.approx([0.1, -0.15, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    gain = comparison.gain("id_sim", over=CHAMPION)
    assert gain.mean == pytest.approx(100 * (15 * 0.1 - 3 * 0.15) / 18)
    assert gain.low < gain.mean < gain.high


def test_a_champion_of_its_own_evaluation_on_the_same_terms(
    small: Any, run_of: Callable[..., Any]
) -> None:
    comparison = compare(small.candidate, run_of(champion=0.125).champion)
    assert comparison.roles == (BASE, CHAMPION, CANDIDATE)
    assert "run/evaluation" in str(comparison.items[0].pictures[CHAMPION][0].file)
    assert comparison.gain("id_sim", over=CHAMPION).mean == pytest.approx(100 * (1.5 - 0.45) / 18)


def test_a_champion_judged_on_other_terms_stands_alone(
    small: Any, run_of: Callable[..., Any]
) -> None:
    comparison = compare(small.candidate, run_of(champion=0.125, steps=25).champion)
    assert comparison.roles == (BASE, CANDIDATE)
    assert comparison.note == "the champion was judged with steps 25, here it is 12"


def test_weights_that_nobody_judged(small: Any) -> None:
    with pytest.raises(DiffersError, match=r"judged champion .*, tuned .*, not the weights ffff"):
        compare(replace(small.candidate, weights="f" * 64))


def test_measures_need_every_picture(run_of: Callable[..., Any]) -> None:
    run = run_of()
    path = run.evaluation / "scores.json"
    rows = json.loads(path.read_text())
    for number, row in enumerate(rows):
        for label, level in (("base", 60.0), ("tuned", 61.5)):
            row["models"][label][0]["measures"] = {"prompt_following": level + number}
    path.write_text(json.dumps(rows))
    _seal(run.evaluation)
    gain = compare(run.candidate).measure_gain("prompt_following")
    assert gain is not None
    assert gain.mean == pytest.approx(1.5)
    assert compare(run.candidate).measure_gain("picture_quality") is None

    del rows[2]["models"]["base"][0]["measures"]
    path.write_text(json.dumps(rows))
    _seal(run.evaluation)
    assert compare(run.candidate).measure_gain("prompt_following") is None


def _seal(folder: Path) -> None:
    write_manifest(folder, {k: v for k, v in read_manifest(folder).items() if k != "files"})


def test_a_missing_face_scores_nothing(run_of: Callable[..., Any], small: Any) -> None:
    def losing(label: str, item: int, people: int, embedder: str) -> np.ndarray:
        cosines = np.eye(people) * 0.5
        return cosines[:, :-1] if label == "tuned" and item == 4 else cosines

    comparison = compare(run_of(painter=losing).candidate)
    assert comparison.faces_found(BASE) == 18
    assert comparison.faces_found(CANDIDATE) == 17
    assert comparison.items[4].pictures[CANDIDATE][0].faces.missing == 1
    assert comparison.with_people(3).faces_found(CANDIDATE) == 8


def test_damage_is_named(run_of: Callable[..., Any], tmp_path: Path) -> None:
    run = run_of()
    with pytest.raises(NotFoundError, match=r"has no manifest\.json"):
        compare(replace(run.candidate, evaluation=tmp_path / "nowhere"))
    with pytest.raises(DiffersError, match="holds a 'lora', not an 'evaluation'"):
        compare(replace(run.candidate, evaluation=run.train))
    picture = run.evaluation / "pictures/tuned/item-1.png"
    picture.write_bytes(picture.read_bytes() + b"x")
    with pytest.raises(DiffersError, match=r"tuned/item-1\.png has sha256"):
        compare(run.candidate)


@pytest.mark.parametrize(
    ("name", "content"),
    [("scores.json", "[]x"), ("scores.json", '[{"key": 1}]'), ("summary.json", "{}")],
)
def test_foreign_content_is_refused(run_of: Callable[..., Any], name: str, content: str) -> None:
    run = run_of()
    candidate = run.candidate
    (run.evaluation / name).write_text(content)
    _seal(run.evaluation)
    with pytest.raises(DiffersError, match="of umo: "):
        compare(candidate)
