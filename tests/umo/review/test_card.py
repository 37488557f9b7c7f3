"""The model card: front matter that the Hub reads, tables that say what the gates said."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from umo.files import sha256
from umo.review.card import write
from umo.review.evidence import Licensed, gather
from umo.review.gates import judge
from umo.review.policy import load_policy


def card(small: Any, out: Path, **changes: Any) -> tuple[dict[str, Any], str]:
    evidence = gather(train=small.train, evaluation=small.evaluation, data=small.tune)
    evidence = replace(evidence, **changes)
    digest = write(out, name="small 2", evidence=evidence, verdicts=judge(load_policy(), evidence))
    assert digest == sha256(out)
    _, front, body = out.read_text().split("---\n", 2)
    return yaml.safe_load(front), body


def test_front_matter_and_body(small: Any, tmp_path: Path) -> None:
    front, body = card(small, tmp_path / "README.md")
    assert front["license"] == "apache-2.0"
    assert front["base_model"] == "embedded"
    assert front["base_model_relation"] == "adapter"
    (result,) = front["model-index"][0]["results"]
    scores = {metric["type"]: metric["value"] for metric in result["metrics"]}
    conf = 1 - 5 / (70 + 3.5)
    assert scores["id_sim"] == pytest.approx(73.5)
    assert scores["id_conf"] == pytest.approx(100 * conf, abs=1), "one item has no second face"
    assert "| ID-Sim | 23.5 | 73.5 | +50.0 [+50.0, +50.0] |" in body
    assert "| enough held-out items | at least 30 | 8 with 18 people | failed |" in body
    assert "Consent: 5 generated" in body
    assert "| base embedded | weights | Apache-2.0 |" in body
    assert small.candidate.weights in body
    assert "lr: 0.001" in body


def test_every_table_row_has_the_columns_of_its_head(small: Any, tmp_path: Path) -> None:
    hostile = Licensed(name="x|y\nz", digest="d", licences={"<img src=x>": "a | b"})
    _, body = card(small, tmp_path / "README.md", base=hostile)
    assert "<img" not in body
    columns = 0
    for line in body.splitlines():
        if not line.startswith("|"):
            columns = 0
            continue
        found = line.replace("\\|", "").count("|")
        columns = columns or found
        assert found == columns, line


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        ({"weights": "MIT"}, {"license": "mit"}),
        ({"weights": "FLUX.1 [dev]"}, {"license": "other", "license_name": "FLUX.1 [dev]"}),
        ({}, {"license": "other", "license_name": "not-recorded-for-b"}),
    ],
)
def test_the_licence_is_that_of_the_base(
    small: Any, tmp_path: Path, licences: dict[str, str], expected: dict[str, str]
) -> None:
    base = Licensed(name="b", digest="d", licences=licences)
    front, _ = card(small, tmp_path / "README.md", base=base)
    assert {key: front[key] for key in expected} == expected


def test_without_the_training_data(small: Any, tmp_path: Path) -> None:
    _, body = card(small, tmp_path / "README.md", data=None)
    assert "## Training data and consent\n\nNot recorded here." in body
