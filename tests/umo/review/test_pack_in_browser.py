"""The review pack in Chromium: slider, filters, keyboard, both widths, MLflow's sandboxed frame."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from PIL import Image as Pillow

from services.chromium import PROGRAM, Page, chromium
from umo.review.evidence import gather
from umo.review.gates import judge
from umo.review.pack import write
from umo.review.policy import load_policy

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PROGRAM, reason="Chromium is not installed"),
]
KEYS = "[...document.querySelectorAll('.exhibit:not([hidden])')].map(card => card.dataset.index)"
AT = "document.querySelector('.slider').style.getPropertyValue('--at')"
OPEN = "document.querySelector('dialog').open"
# MLflow's artifact viewer: the file's text as a blob in a frame that may only run scripts.
FRAME = """{
  const frame = document.createElement("iframe");
  frame.setAttribute("sandbox", "allow-scripts");
  frame.style = "width: 1000px; height: 800px";
  frame.src = URL.createObjectURL(new Blob([TEXT], { type: "text/html" }));
  document.body.append(frame);
}"""


@pytest.fixture(scope="module")
def pack(small: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pack") / "review.html"
    evidence = gather(
        train=small.train, evaluation=small.evaluation, data=small.tune, champion=small.champion
    )
    policy = replace(load_policy(), items=1)
    write(
        out,
        candidate=small.candidate,
        champion=small.champion,
        evidence=evidence,
        verdicts=judge(policy, evidence),
        policy=policy,
        references=small.held_out,
    )
    return out


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("chromium") / "profile") as page:
        yield page


@pytest.fixture
def site() -> Iterator[Callable[[Path], str]]:
    """Serves a folder; its address."""
    with ExitStack() as stack:

        def serve(folder: Path) -> str:
            server = ThreadingHTTPServer(
                ("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder))
            )
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            Thread(target=server.serve_forever, daemon=True).start()
            return f"http://127.0.0.1:{server.server_port}"

        yield serve


@pytest.fixture
def page(browser: Page, pack: Path) -> Page:
    browser.resize(1280, 900)
    browser.open(pack.as_uri())
    browser.requests.clear()
    browser.errors.clear()
    return browser


def test_no_request_and_no_error(browser: Page, pack: Path) -> None:
    browser.requests.clear()
    browser.open(pack.as_uri())
    browser.press("f")
    browser.evaluate("document.querySelector('.open').click()")
    assert browser.evaluate(OPEN)
    asked = [url for url in browser.requests if not url.startswith("data:image/")]
    assert asked == [pack.as_uri()]
    assert browser.errors == []


def test_what_it_could_ask_for_is_refused(page: Page) -> None:
    refused = page.evaluate(
        "fetch('http://127.0.0.1:9/').then(() => 'sent', (error) => error.constructor.name)"
    )
    assert refused == "TypeError"
    assert any("Content Security Policy" in error for error in page.errors)


def test_filters_and_order(page: Page) -> None:
    everything = page.evaluate(KEYS)
    assert everything[0] == "1", "the only item that is worse than the champion"
    page.evaluate("document.querySelector('[data-count=\"3\"]').click()")
    assert page.evaluate(KEYS) == ["1", "4", "7"]
    assert page.evaluate("document.querySelector('#shown').textContent") == "3 of 8"
    page.evaluate("document.querySelector('#worse').click()")
    assert page.evaluate(KEYS) == ["1"]
    page.evaluate("document.querySelector('[data-count=\"2\"]').click()")
    assert page.evaluate(KEYS) == []
    assert not page.evaluate("document.querySelector('#none').hidden")
    page.evaluate("document.querySelector('#worse').click()")
    page.evaluate("document.querySelector('[data-count=\"all\"]').click()")
    page.evaluate(
        "{ const order = document.querySelector('#order'); order.value = 'index 1';"
        " order.dispatchEvent(new Event('change')) }"
    )
    assert page.evaluate(KEYS) == [str(n) for n in range(8)]


def test_the_keyboard_alone(page: Page) -> None:
    page.press("3")
    assert page.evaluate(KEYS) == ["1", "4", "7"]
    page.press("w")
    assert page.evaluate(KEYS) == ["1"]
    page.press("w")
    page.press("j")
    page.press("j")
    focused = "document.activeElement.closest('.exhibit').dataset.index"
    assert page.evaluate(focused) == "4"
    page.press("k")
    assert page.evaluate(focused) == "1"
    page.press("Enter")
    page.wait(OPEN)
    assert page.evaluate("document.querySelector('#place').textContent") == "1 of 3"
    assert page.evaluate(AT) == "50%"
    page.press("ArrowRight")
    assert page.evaluate(AT) == "52%"
    page.press("ArrowLeft")
    page.press("ArrowLeft")
    assert page.evaluate(AT) == "48%"
    page.press("n")
    assert page.evaluate("document.querySelector('#place').textContent") == "2 of 3"
    page.press("p")
    page.press("p")
    assert page.evaluate("document.querySelector('#place').textContent") == "3 of 3"
    sides = "['left', 'right'].map(side => document.querySelector('.tag.' + side).textContent)"
    before = page.evaluate(sides)
    page.press("s")
    assert page.evaluate(sides) == before[::-1]
    assert before == ["champion", "candidate"]
    page.press("Escape")
    page.wait(f"!{OPEN}")
    assert page.evaluate(focused) == "7", "back where one was"
    page.press("f")
    assert page.evaluate("getComputedStyle(document.querySelector('.box')).display") == "block"
    page.press("0")
    assert len(page.evaluate(KEYS)) == 8
    assert page.errors == []


def test_the_slider_shows_two_pictures(page: Page, tmp_path: Path) -> None:
    page.evaluate("document.querySelector('figure[data-role=champion] .open').click()")
    page.wait(OPEN)
    box = page.evaluate(
        "(({ x, y, width, height }) => ({ x, y, width, height }))"
        "(document.querySelector('.slider').getBoundingClientRect())"
    )
    middle = box["y"] + box["height"] / 2
    page.click(box["x"] + box["width"] * 0.25, middle)
    assert abs(float(page.evaluate(AT).rstrip("%")) - 25) <= 1
    left, right = (_colour(page, box, share, tmp_path) for share in (0.12, 0.8))
    assert left[2] > left[0] + 60, "the champion's blue"
    assert right[0] > right[2] + 60, "the candidate's orange"
    page.click(box["x"] + box["width"] * 0.9, middle)
    moved = _colour(page, box, 0.8, tmp_path)
    assert moved[2] > moved[0] + 60, "now the champion's"


def _colour(page: Page, box: dict[str, float], share: float, folder: Path) -> tuple[int, int, int]:
    """Of the window at a share of the slider's width, a third from its top."""
    page.screenshot(folder / "shot.png")
    with Pillow.open(folder / "shot.png") as image:
        point = int(box["x"] + box["width"] * share), int(box["y"] + box["height"] / 3)
        red, green, blue = image.convert("RGB").getpixel(point)  # type: ignore[misc]
    return red, green, blue


@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_is_cut_off(page: Page, width: int, tmp_path: Path) -> None:
    page.resize(width, 900)
    overflow = """[...document.querySelectorAll('body *')].filter((part) =>
        part.checkVisibility() && !part.closest('.scroll, pre, dialog, .box')
        && part.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
        .map((part) => part.outerHTML)"""
    assert page.evaluate(overflow) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    widths = page.evaluate(
        "[...document.querySelectorAll('.exhibit figure img')].map((image) => image.clientWidth)"
    )
    assert min(widths) >= 250
    cells = (
        "[...document.querySelectorAll('.gates td[data-title]')].map((cell) => cell.clientWidth)"
    )
    assert min(page.evaluate(cells)) >= 200
    page.evaluate("document.querySelector('.open').click()")
    page.wait(OPEN)
    dialog = page.evaluate(
        "(({ left, right, bottom }) => ({ left, right, bottom }))"
        "(document.querySelector('dialog').getBoundingClientRect())"
    )
    assert dialog["left"] >= 0
    assert dialog["right"] <= page.evaluate("document.documentElement.clientWidth")
    assert dialog["bottom"] <= 900


def test_it_works_in_the_frame_of_mlflow(
    browser: Page, pack: Path, tmp_path: Path, site: Callable[[Path], str]
) -> None:
    (tmp_path / "viewer.html").write_text("<!doctype html><link rel=icon href=data:,><body>")
    browser.open(f"{site(tmp_path)}/viewer.html")
    browser.errors.clear()
    browser.evaluate(FRAME.replace("TEXT", json.dumps(pack.read_text())))
    inside = browser.frame("location.protocol === 'blob:' && document.readyState === 'complete'")
    assert browser.evaluate("origin", frame=inside) == "null"
    browser.evaluate("document.querySelector('[data-count=\"3\"]').click()", frame=inside)
    assert browser.evaluate(KEYS, frame=inside) == ["1", "4", "7"]
    browser.evaluate("document.querySelector('.exhibit .open').click()", frame=inside)
    assert browser.evaluate(OPEN, frame=inside)
    loaded = "[...document.images].every((image) => image.complete && image.naturalWidth > 0)"
    browser.wait(loaded, frame=inside)
    assert browser.errors == []
