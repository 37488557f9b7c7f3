"""The page: complete, self-contained, honest in its verdict, for one to four models."""

import json
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from umo.data.shards import Dataset
from umo.evaluation.report import (
    TITLES,
    first_of_each_count,
    headline,
    primary,
    ranking,
    write_report,
)


class Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def summary(compared: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((compared / "summary.json").read_text())
    return loaded


def interval(low: float, high: float) -> dict[str, float]:
    return {"mean": (low + high) / 2, "low": low, "high": high}


def test_the_page_is_self_contained_and_says_everything(
    compared: Path, summary: dict[str, Any]
) -> None:
    html = (compared / "report.html").read_text()
    page = Page(html)
    assert len(page.sources) >= 7, "cards, plot and curves"
    assert all(source.startswith("data:image/") for source in page.sources)
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert "url(" not in html
    for text in ("base", "this run", "strangers", "ID-Conf (paper)", "ID-Conf (scripts)"):
        assert text in page.text
    for digest in (
        summary["lineage"]["base"]["digest"],
        summary["lineage"]["dataset"]["digest"],
        summary["lineage"]["face_pack"]["digest"],
        summary["lineage"]["models"]["tuned"]["digest"],
        summary["lineage"]["code"],
    ):
        assert digest in page.text
    assert headline(summary, TITLES) in page.text
    with Pillow.open(compared / "result.png") as image:
        assert image.width > 1000


@pytest.mark.parametrize(
    "labels",
    [["base"], ["base", "matching"], ["base", "fine-tuned", "single", "matching"]],
    ids=len,
)
def test_one_to_four_models(
    labels: list[str], tmp_path: Path, compared: Path, dataset: Dataset
) -> None:
    shutil.copytree(compared, tmp_path / "out")

    def relabel(scores: dict[str, Any]) -> dict[str, Any]:
        return {label: scores["base" if label == "base" else "tuned"] for label in labels}

    for name in ("summary.json", "scores.json"):
        path = tmp_path / "out" / name
        changed = json.loads(path.read_text(), object_hook=lambda part: _relabelled(part, relabel))
        path.write_text(json.dumps(changed))
    write_report(tmp_path / "out", dataset)
    page = Page((tmp_path / "out" / "report.html").read_text())
    assert all(label in page.text for label in labels)
    assert "strangers" not in page.text
    assert ("Base scores" in page.text) == (len(labels) == 1)


def _relabelled(part: dict[str, Any], relabel: Callable[[Any], Any]) -> dict[str, Any]:
    if {"base", "tuned", "strangers"} <= part.keys():
        return dict(relabel(part))
    if {"tuned", "strangers"} <= part.keys():
        filled = relabel({"base": None, **part})
        return {label: value for label, value in filled.items() if label != "base"}
    return part


def test_it_can_be_written_again_from_the_folder(
    compared: Path, tmp_path: Path, dataset: Dataset
) -> None:
    shutil.copytree(compared, tmp_path / "copy")
    (tmp_path / "copy" / "report.html").unlink()
    write_report(tmp_path / "copy", dataset)
    written = (tmp_path / "copy" / "report.html").read_bytes()
    assert written == (compared / "report.html").read_bytes()


@pytest.mark.parametrize(
    ("similarity", "confidence", "faces", "verdict"),
    [
        ((1, 3), (2, 4), 14, "This run beats base on 6 held-out prompts"),
        ((1, 3), (2, 4), 13, "beats base but loses faces"),
        ((-1, 3), (2, 4), 14, "does not clearly beat base"),
        ((-3, -1), (-4, -2), 14, "is worse than base"),
    ],
)
def test_the_verdict_follows_the_intervals(
    summary: dict[str, Any],
    similarity: tuple[float, float],
    confidence: tuple[float, float],
    faces: int,
    verdict: str,
) -> None:
    changed = json.loads(json.dumps(summary))
    changed["models"]["base"]["faces_found"] = 14
    changed["models"]["tuned"]["faces_found"] = faces
    changed["gain"]["tuned"] |= {"id_sim": interval(*similarity), "id_conf": interval(*confidence)}
    sentence = headline(changed, TITLES)
    assert verdict in sentence
    assert f"{faces} of 14 faces found" in sentence
    assert f"{sum(similarity) / 2:+.1f}".replace("-", "−") in sentence


def test_shown_items_are_the_first_and_ranking_is_by_gain(compared: Path) -> None:
    scores = json.loads((compared / "scores.json").read_text())
    assert [item["key"] for item in first_of_each_count(scores)] == [
        f"item-{n}" for n in (0, 2, 1, 4)
    ]

    def level(item: Any, label: str) -> float:
        return float(item["models"][label][0]["judge"]["id_sim"])

    gains = [level(i, "tuned") - level(i, "base") for i in ranking(scores, "base", "tuned")]
    assert gains == sorted(gains, reverse=True)
    own = [level(i, "base") for i in ranking(scores, "base", None)]
    assert own == sorted(own, reverse=True)


def test_primary() -> None:
    assert primary({"gain": {"reference": {}, "tuned": {}}}) == "tuned"
    assert primary({"gain": {"single": {}, "matching": {}}}) == "single"
    assert primary({"gain": {}}) is None
