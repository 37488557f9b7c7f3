import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from umo.benchmarks.measures.dpg import Dpg, counted
from umo.benchmarks.measures.measure import Painted
from umo.errors import DiffersError, NotFoundError, UsageError

ASKED = {
    "prompt": "a red car",
    "qid2question": {"1": "Is there a car?", "2": "Is the car red?", "3": "Is it day?"},
    "qid2dependency": {"1": [0], "2": [1], "3": ["0"]},
}
CAR, RED, DAY = ASKED["qid2question"].values()


@pytest.mark.parametrize(
    ("car", "red", "day", "value"),
    [
        ("yes", "yes", "yes", 100),
        ("yes", "no", "yes", 200 / 3),
        ("no", "yes", "yes", 100 / 3),
        ("no", "no", "no", 0),
        ("yes", "maybe", "yes", None),
        ("yes", None, "yes", None),
    ],
)
def test_by_hand(car: str, red: str | None, day: str, value: float | None) -> None:
    answers: Any = {CAR: car, RED: red, DAY: day, "average_score_with_dependency": 12.0}
    assert counted(ASKED, answers) == (value if value is None else pytest.approx(value))


def test_answers_are_found_by_item_and_picture(tmp_path: Path) -> None:
    answers = {"1": [{CAR: "yes", RED: "yes", DAY: "yes"}, {CAR: "no", RED: "no", DAY: "yes"}]}
    (tmp_path / "answers.json").write_text(json.dumps(answers))
    (tmp_path / "questions.json").write_text(json.dumps([{"prompt": ""}, ASKED]))
    measure = Dpg(tmp_path / "answers.json", tmp_path / "questions.json")
    picture = np.zeros((8, 8, 3), dtype=np.uint8)
    painted = Painted(key="1", prompt="a red car", pictures=[picture] * 3)
    assert measure.of(painted) == [100, pytest.approx(100 / 3), None]
    for key in ("7", "night"):
        assert measure.of(replace(painted, key=key)) == [None] * 3
    with pytest.raises(DiffersError, match="item 1 is 'a blue car', its questions are of 'a red"):
        measure.of(replace(painted, prompt="a blue car"))


def test_files_that_are_not_there_or_of_another_form(tmp_path: Path) -> None:
    file = tmp_path / "answers.json"
    with pytest.raises(NotFoundError, match="no file at"):
        Dpg(file, file)
    for text, wrong in (("{", "is not JSON"), ("[]", "holds a list, not a dict")):
        file.write_text(text)
        with pytest.raises(UsageError, match=wrong):
            Dpg(file, file)
