"""The comparison as a folder: whole, sealed, self-contained, and the same each time."""

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from services.scored_models import (
    TILE,
    entry,
    random_items,
    write_pictures,
    write_scored,
)
from umo.errors import DiffersError, NotFoundError, UsageError
from umo.evaluation.comparison import ComparisonConfig, compare
from umo.evaluation.comparison_report import write_comparison
from umo.evaluation.gallery import Places, exhibits, places_of
from umo.evaluation.scored import Scored, read_scored
from umo.files import read_manifest, sha256

CONFIG = ComparisonConfig(resamples=100, gallery=5)
ALIKE = [{"identities": ["anna", "<dora>"], "judge": 0.8123, "reward": -0.07}]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> list[Scored]:
    """`base` and `tuned <b>` with pictures; one picture of `tuned <b>` is damaged."""
    folder = tmp_path_factory.mktemp("scored")
    made = []
    for seed, (label, level) in enumerate({"base": 0.2, "tuned <b>": 0.6}.items()):
        items = random_items(level, seed)
        failures = []
        if seed:
            items[3]["pictures"][1] = {"name": "item-3.png#1", "error": "damaged <file>"}
            failures = [{"key": "item-3", "name": "item-3.png", "error": "damaged <file>"}]
        path = write_scored(
            folder / "scores" / str(seed), label, items, failures=failures, alike=ALIKE
        )
        write_pictures(path, seed)
        made.append(read_scored(path))
    return made


@pytest.fixture(scope="module")
def report(scored: list[Scored], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "out"
    write_comparison(scored, out, places=places_of(scored, {}, None), config=CONFIG)
    return out


def test_everything_is_there_and_sealed(report: Path, scored: list[Scored]) -> None:
    manifest = read_manifest(report, verify=True)
    assert set(manifest["files"]) == {
        "report.html",
        "table.md",
        "table.tex",
        "comparison.json",
        *(f"plots/{name}.png" for name in ("gains", "id_sim", "id_conf", "missing", "mixed")),
    }
    assert manifest["models"] == {model.model: model.digest for model in scored}
    numbers = json.loads((report / "comparison.json").read_text())
    assert numbers["verdict"] == manifest["verdict"]
    assert numbers["benchmark"]["pictures"] == 23
    for plot in (report / "plots").iterdir():
        with Pillow.open(plot) as image:
            assert image.getextrema() != ((255, 255),) * 4


def test_the_same_each_time(scored: list[Scored], report: Path, tmp_path: Path) -> None:
    write_comparison(scored, tmp_path / "again", places=places_of(scored, {}, None), config=CONFIG)
    assert sha256(tmp_path / "again" / "manifest.json") == sha256(report / "manifest.json")


def test_the_page_is_self_contained_and_escaped(report: Path) -> None:
    page = (report / "report.html").read_text()
    assert "default-src 'none'" in page
    sources = re.findall(r'(?:src|href)="([^"]{5})', page)
    assert set(sources) <= {"data:", "#left"}
    assert "tuned <b>" not in page
    assert "damaged &lt;file&gt;" in page
    assert "<park>" not in page
    verdict = json.loads((report / "comparison.json").read_text())["verdict"]
    assert verdict.startswith("tuned <b> ")
    assert verdict.replace("<b>", "&lt;b&gt;") in page
    assert page.index('class="verdict"') < page.index("<table")


def test_people_who_look_alike_are_listed(report: Path) -> None:
    page = (report / "report.html").read_text()
    assert "1 pair of people whom the judge hardly tells apart" in page
    assert "<li>anna and &lt;dora&gt;: 0.81 −0.07</li>" in page
    assert json.loads((report / "comparison.json").read_text())["alike"] == ALIKE


def test_the_gallery_shows_disagreements_and_where_the_best_model_fails(
    scored: list[Scored],
) -> None:
    comparison = compare(scored, CONFIG)
    shown = exhibits(comparison, places_of(scored, {}, None))
    gaps, best = {}, {}
    for shot in comparison.shots:
        levels = []
        for label in comparison.labels:
            cosines = comparison.picture(label, shot).similarity["judge"].tolist()
            levels.append(sum(max(row, default=0) for row in cosines) / max(len(cosines), 1))
        if shot.identities:
            gaps[shot.key, shot.number] = 100 * (max(levels) - min(levels))
            best[shot.key, shot.number] = levels[1]
    chosen = [(exhibit.shot.key, exhibit.shot.number) for exhibit in shown]
    assert len(set(chosen)) == 5
    assert max(gaps, key=lambda picture: gaps[picture]) == chosen[0]
    assert min(best, key=lambda picture: best[picture]) in chosen
    assert [gaps[picture] for picture in chosen] == sorted(
        (gaps[picture] for picture in chosen), reverse=True
    )
    for exhibit in shown:
        assert gaps[exhibit.shot.key, exhibit.shot.number] == pytest.approx(exhibit.gap)
        for view in exhibit.views:
            assert view.uri.startswith("data:image/webp;base64,")
            faces = len(comparison.picture(view.label, exhibit.shot).boxes)
            people = len(exhibit.shot.identities)
            assert view.mistakes.get("missing", 0) == max(people - faces, 0)
            assert view.mistakes.get("extra", 0) == max(faces - people, 0)
            assert sum(cosine is None for cosine in view.cosines) == max(people - faces, 0)


def test_one_model_shows_its_worst(scored: list[Scored], tmp_path: Path) -> None:
    comparison = compare(scored[:1], CONFIG)
    lowest: dict[str, float] = {}
    similarity = comparison.values["base", "judge", "id_sim"]
    for shot, values in zip(comparison.shots, similarity, strict=True):
        if shot.identities:
            level = 100 * float(values.mean())
            lowest[shot.key] = min(level, lowest.get(shot.key, level))
    shown = [exhibit.views[0].similarity for exhibit in exhibits(comparison, Places(pictures={}))]
    assert shown == pytest.approx(sorted(lowest.values())), "one of each item, the lowest first"
    write_comparison(scored[:1], tmp_path / "one", places=Places(pictures={}), config=CONFIG)
    assert not (tmp_path / "one" / "plots" / "gains.png").exists()
    page = (tmp_path / "one" / "report.html").read_text()
    assert "Not every model's pictures were at hand" in page.replace("&#39;", "'")


def test_a_cell_of_a_grid_is_cut_out(tmp_path: Path) -> None:
    """The only green cell is number 2: the second row's first."""
    cosines = [[[0.8]], [[0.7]], [[0.1]], [[0.6]]]
    folder = write_scored(tmp_path / "scores" / "m", "m", [entry("a", cosines)])
    write_pictures(folder, seed=0)
    sheet = Pillow.new("RGB", (2 * TILE, 2 * TILE), (200, 30, 30))
    sheet.paste((20, 220, 20), (0, TILE, TILE, 2 * TILE))
    sheet.save(tmp_path / "pictures" / "m" / "a.png")
    scored = [read_scored(folder)]
    comparison = compare(scored, ComparisonConfig(gallery=1, resamples=10))
    (exhibit,) = exhibits(comparison, places_of(scored, {}, None))
    assert exhibit.shot.number == 2
    view = exhibit.views[0]
    with Pillow.open(io.BytesIO(base64.b64decode(view.uri.partition(",")[2]))) as drawn:
        red, green, _ = np.asarray(drawn.convert("RGB"))[view.height - 20, view.width // 2].tolist()
    assert green > red + 100


def test_where_pictures_are(scored: list[Scored], tmp_path: Path) -> None:
    places = places_of(scored, {}, None)
    assert places.references == scored[0].folder.parents[1] / "benchmark"
    assert set(places.pictures) == {"base", "tuned <b>"}
    named = places_of(scored, {"base": tmp_path}, tmp_path)
    assert (named.pictures["base"], named.references) == (tmp_path, tmp_path)
    with pytest.raises(UsageError, match="no model is called new; there are base"):
        places_of(scored, {"new": tmp_path}, None)
    with pytest.raises(NotFoundError, match="no folder of pictures"):
        places_of(scored, {"base": tmp_path / "none"}, None)


def test_a_picture_that_is_gone_or_damaged_is_named(scored: list[Scored], tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(NotFoundError, match="no picture at"):
        write_comparison(scored, out, places=places_of(scored, {"base": tmp_path}, None))
    for number in range(6):
        (tmp_path / f"item-{number}.png").write_text("no picture")
    with pytest.raises(DiffersError, match="is no picture"):
        write_comparison(scored, out, places=places_of(scored, {"base": tmp_path}, None))
    assert not out.exists()
