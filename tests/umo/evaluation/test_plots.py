import xml.etree.ElementTree as ET
from typing import Any

import pytest

from umo.evaluation.plots import CURVES, similarity_by_people, training_curves

TITLES = {"base": "base", "tuned": "this run", "reference": "reference LoRA (more steps)"}


def log(steps: int, *names: str) -> list[dict[str, float]]:
    return [{"step": step, **dict.fromkeys(names, step / 10)} for step in range(1, steps)]


def test_curves_are_drawn_for_every_log_and_the_same_each_time() -> None:
    logs = {"tuned": log(9, *CURVES), "reference": log(400, "reward")}
    svg = training_curves(logs, TITLES)
    assert svg == training_curves(logs, TITLES)
    assert svg.count("<!-- Reward -->") == svg.count("<!-- Gradient norm -->") == 1
    assert svg.count("<!-- this run -->") == 1
    plain = training_curves({"reference": log(9, "flow_matching")}, TITLES)
    assert "<!-- Flow-matching loss -->" in plain
    assert "<!-- Reward -->" not in plain


@pytest.mark.parametrize("same", [0.7, None])
def test_similarity_by_people(same: float | None) -> None:
    level = {"id_sim": {"mean": 40.0, "low": 30.0, "high": 50.0}}
    summary: dict[str, Any] = {
        "by_people": {n: {"models": dict.fromkeys(TITLES, level)} for n in ("2", "3")},
        "scale": {"same": same, "different": 0.0},
    }
    svg = similarity_by_people(summary, TITLES)
    ET.fromstring(svg)
    assert ("<!-- two views of one person -->" in svg) == (same is not None)
    assert all(f"<!-- {title} -->" in svg for title in TITLES.values())
