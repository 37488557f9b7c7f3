"""The comparison in Chromium: verdict first, filters, order, both widths, no network."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.chromium import PROGRAM, Page, chromium
from services.scored_models import random_items, write_pictures, write_scored
from umo.evaluation.comparison import ComparisonConfig
from umo.evaluation.comparison_report import write_comparison
from umo.evaluation.gallery import places_of
from umo.evaluation.scored import read_scored

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PROGRAM, reason="Chromium is not installed"),
]
CARDS = "[...document.querySelectorAll('.exhibit:not([hidden])')]"
CHOOSE = """{{ const field = document.querySelector('{name}'); field.value = '{value}';
    field.dispatchEvent(new Event('{event}')); }}"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("comparison")
    models = []
    for seed, (label, level) in enumerate({"base": 0.2, "sft": 0.4, "tuned": 0.6}.items()):
        path = write_scored(folder / "scores" / label, label, random_items(level, seed))
        write_pictures(path, seed)
        models.append(read_scored(path))
    config = ComparisonConfig(resamples=100, gallery=12)
    write_comparison(models, folder / "out", places=places_of(models, {}, None), config=config)
    return folder / "out" / "report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("chromium") / "profile") as page:
        yield page


@pytest.fixture
def page(browser: Page, report: Path) -> Page:
    browser.resize(1280, 900)
    browser.requests.clear()
    browser.errors.clear()
    browser.open(report.as_uri())
    return browser


def test_no_request_and_no_error(page: Page, report: Path) -> None:
    page.wait("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    assert [url for url in page.requests if not url.startswith("data:image/")] == [report.as_uri()]
    assert page.errors == []
    refused = page.evaluate(
        "fetch('http://127.0.0.1:9/').then(() => 'sent', (error) => error.constructor.name)"
    )
    assert refused == "TypeError"


def test_verdict_and_gains_are_on_the_first_screen(page: Page) -> None:
    bottoms = page.evaluate(
        "['.verdict', '.fails', '.plot'].map((name) =>"
        " document.querySelector(name).getBoundingClientRect().bottom)"
    )
    assert max(bottoms) <= 900


def test_filters_and_order(page: Page) -> None:
    def values(name: str) -> list[str]:
        found: list[str] = page.evaluate(f"{CARDS}.map((card) => card.dataset.{name})")
        return found

    gaps = [float(gap) for gap in values("gap")]
    assert len(gaps) == 12
    assert gaps == sorted(gaps, reverse=True), "the page sorts what was chosen"
    page.evaluate(CHOOSE.format(name="#order", value="sim2 1", event="change"))
    similarity = [float(value) for value in values("sim2")]
    assert similarity == sorted(similarity)
    page.evaluate(CHOOSE.format(name="#mistake", value="missing", event="change"))
    assert 0 < len(values("mistakes")) < 12
    assert all("missing" in mistakes.split() for mistakes in values("mistakes"))
    page.evaluate(CHOOSE.format(name="#mistake", value="", event="change"))
    page.evaluate("document.querySelector('[data-group=\"2\"]').click()")
    assert set(values("group")) == {"2"}
    page.evaluate("document.querySelector('[data-group=\"\"]').click()")
    page.evaluate(CHOOSE.format(name="#find", value="CARL", event="input"))
    assert set(values("group")) == {"3"}, "carl is in every picture of three, in no other"
    page.evaluate(CHOOSE.format(name="#find", value="nobody of that name", event="input"))
    assert values("group") == []
    assert not page.evaluate("document.querySelector('#none').hidden")
    assert page.evaluate("document.querySelector('#shown').textContent") == "0 of 12"


def test_people_are_sorted_by_any_column(page: Page) -> None:
    column = (
        "[...document.querySelectorAll('.sortable tbody tr')]"
        ".map((row) => row.cells[{}].textContent)"
    )
    worst = [float(text.replace("−", "-")) for text in page.evaluate(column.format(4))]
    assert worst == sorted(worst), "by the best model's ID-Sim at first"
    page.evaluate("document.querySelector('.sortable thead button').click()")
    assert page.evaluate(column.format(0)) == ["anna", "ben", "carl"]
    page.evaluate("document.querySelector('.sortable thead button').click()")
    assert page.evaluate(column.format(0)) == ["carl", "ben", "anna"]


@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_is_cut_off(page: Page, width: int) -> None:
    page.resize(width, 900)
    overflow = """[...document.querySelectorAll('body *')].filter((part) =>
        part.checkVisibility() && !part.closest('.scroll')
        && part.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
        .map((part) => part.outerHTML)"""
    assert page.evaluate(overflow) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    smallest = page.evaluate(
        "Math.min(...[...document.querySelectorAll('figure img, .plot')]"
        ".map((image) => image.clientWidth))"
    )
    assert smallest >= 200
    names = "[...document.querySelectorAll('.sortable tbody th')].map((cell) => cell.clientHeight)"
    assert max(page.evaluate(names)) < 60, "names of people stay on few lines"
