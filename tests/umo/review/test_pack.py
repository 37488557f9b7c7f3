"""The review pack as a file: complete, self-contained, the same bytes for the same review."""

import html
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from umo.data.shards import Dataset
from umo.errors import DiffersError
from umo.files import read_manifest, sha256, write_manifest
from umo.review.compare import Subject, compare
from umo.review.evidence import gather
from umo.review.exhibits import HEIGHT, exhibit
from umo.review.gates import Verdict, Waiver, judge
from umo.review.pack import verdict_line, write
from umo.review.policy import load_policy


class Page(HTMLParser):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [
            value or "" for name, value in attrs if name in ("src", "href", "action", "srcset")
        ]

    def handle_data(self, data: str) -> None:
        self.text += data


def review(run: Any, out: Path, *, champion: Subject | None = None, **changes: Any) -> str:
    evidence = gather(train=run.train, evaluation=run.evaluation, data=run.tune, champion=champion)
    policy = replace(load_policy(), items=1)
    arguments = {
        "candidate": run.candidate,
        "champion": champion,
        "evidence": evidence,
        "verdicts": judge(policy, evidence),
        "policy": policy,
        "references": run.held_out,
        "about": {"Trainer": "tina"},
    }
    return write(out, **arguments | changes)


def test_it_says_everything_and_asks_for_nothing(small: Any, tmp_path: Path) -> None:
    out = tmp_path / "review.html"
    digest = review(small, out, champion=small.champion)
    assert digest == sha256(out)
    page = Page(out)
    assert len(page.sources) == 8 * 3 + 18 + 2, "three models, the references, two plots"
    assert all(source.startswith("data:image/") for source in page.sources)
    assert not {"link", "iframe", "object", "form"} & set(page.tags)
    text = out.read_text()
    assert "url(" not in text
    assert "@import" not in text
    assert "//" not in re.sub(r"base64,[A-Za-z0-9+/=]*", "", text)
    assert "default-src 'none'; img-src data:;" in text
    for said in (
        "Review of small-candidates 2, to replace small 1",
        "Trainer",
        "tina",
        "Linux",
        "Apache-2.0",
        "CC0-1.0",
        "5 generated",
        small.candidate.weights,
        read_manifest(small.tune)["digest"],
        read_manifest(small.held_out)["digest"],
        "All 8 pictures",
    ):
        assert said in page.text, said


def test_the_same_review_has_the_same_digest(small: Any, tmp_path: Path) -> None:
    digests = {review(small, tmp_path / name) for name in ("a.html", "b.html")}
    assert len(digests) == 1
    assert review(small, tmp_path / "c.html", about={"Trainer": "tom"}) not in digests


def test_without_champion_and_references(small: Any, tmp_path: Path) -> None:
    out = tmp_path / "review.html"
    review(small, out, references=None)
    page = Page(out)
    assert len(page.sources) == 8 * 2 + 2
    assert "2 people; their references were not at hand" in page.text
    assert "against base first" in page.text
    assert "to replace" not in page.text


def test_a_champion_on_other_terms_is_explained(
    small: Any, tmp_path: Path, run_of: Callable[..., Any]
) -> None:
    other = run_of(champion=0.125, steps=25).champion
    out = tmp_path / "review.html"
    review(small, out, champion=other)
    assert "No champion beside it: the champion was judged with steps 25" in Page(out).text


def test_hostile_text_stays_text(tmp_path: Path, run_of: Callable[..., Any]) -> None:
    prompt = "</script><img src=x onerror=alert(1)> & \" ' people"
    run = run_of(prompt=prompt)
    out = tmp_path / "review.html"
    review(run, out, about={"Trainer": "<b>tina</b>"})
    page = Page(out)
    assert page.tags.count("script") == 1
    assert not [source for source in page.sources if not source.startswith("data:")]
    assert prompt in page.text
    assert "<b>tina</b>" in page.text
    assert html.escape(prompt, quote=False).split("&amp;")[0] in out.read_text()


def test_other_references_are_refused(small: Any, tmp_path: Path) -> None:
    with pytest.raises(DiffersError, match="the models were judged on"):
        review(small, tmp_path / "review.html", references=small.tune)
    assert not (tmp_path / "review.html").exists()


def test_the_worst_come_first(small: Any) -> None:
    shown = exhibit(compare(small.candidate, small.champion), None, budget=10**6)
    assert shown.exhibits[0].key == "item-1"
    assert shown.exhibits[0].change == pytest.approx({"base": 50, "champion": -15})
    changes = [e.change["champion"] for e in shown.exhibits]
    assert changes == sorted(changes)
    assert (shown.total, shown.worst, shown.sampled) == (8, 8, 0)
    assert shown.people == [1, 2, 3]


def test_a_lost_person_is_worst_and_marked(run_of: Callable[..., Any]) -> None:
    def losing(label: str, item: int, people: int, embedder: str) -> np.ndarray:
        cosines = np.eye(people) * 0.5
        return cosines[:, :-1] if label == "tuned" and item == 6 else cosines

    shown = exhibit(compare(run_of(painter=losing).candidate), None, budget=10**6)
    first = shown.exhibits[0]
    assert (first.key, first.lost) == ("item-6", 1)
    candidate = first.views[-1]
    assert candidate.found == 1
    assert candidate.cosines == (0.5, None)
    assert [e.lost for e in shown.exhibits[1:]] == [0] * 7


def test_a_budget_keeps_the_worst_and_a_stated_sample(
    tmp_path: Path, run_of: Callable[..., Any]
) -> None:
    run = run_of()
    rng = np.random.default_rng(0)
    for path in (run.evaluation / "pictures").rglob("*.png"):
        noise = rng.integers(0, 256, (2 * HEIGHT, HEIGHT, 3), dtype=np.uint8)
        Pillow.fromarray(noise).save(path)
    write_manifest(
        run.evaluation, {k: v for k, v in read_manifest(run.evaluation).items() if k != "files"}
    )
    comparison = compare(run.candidate)
    whole = exhibit(comparison, None, budget=10**9)
    sizes = [sum(len(view.uri) for view in e.views) for e in whole.exhibits]
    budget = int(sum(sizes) * 0.7)
    part = exhibit(comparison, None, budget=budget)
    assert part.exhibits[: part.worst] == whole.exhibits[: part.worst]
    assert 0 < part.worst < len(part.exhibits) < whole.total
    assert sum(len(v.uri) for e in part.exhibits for v in e.views) <= budget
    assert all(view.height == HEIGHT for e in part.exhibits for view in e.views)
    assert exhibit(comparison, None, budget=budget) == part

    out = tmp_path / "review.html"
    review(run, out, budget=budget)
    said = f"{len(part.exhibits)} of 8 pictures: the {part.worst} worst"
    assert said in Page(out).text
    assert len(out.read_text()) < budget + 300_000


def test_references_belong_to_their_people(small: Any) -> None:
    shown = exhibit(compare(small.candidate), Dataset(small.held_out), budget=10**6)
    assert [len(e.references) for e in shown.exhibits] == [
        len(e.identities) for e in shown.exhibits
    ]
    assert len({uri for e in shown.exhibits for uri in e.references}) == 3, "one grey for each slot"


def verdict(gate: str, outcome: str, *, passed: bool, waived: str = "") -> Verdict:
    return Verdict(
        gate=gate,
        what=gate,
        threshold="",
        measured="",
        outcome=outcome,  # type: ignore[arg-type]
        passed=passed,
        waived=waived,
    )


def test_the_sentence_on_top() -> None:
    good = [verdict("a", "passed", passed=True), verdict("b", "passed", passed=True)]
    assert verdict_line(good) == "May be approved: 2 gates pass."
    assert (
        verdict_line(
            [
                *good,
                verdict("c", "failed", passed=True, waived="l: r"),
                verdict("d", "not measured", passed=True),
            ]
        )
        == "May be approved: 2 gates pass, 1 waived (c), 1 not measured (d)."
    )
    assert (
        verdict_line(
            [
                *good,
                verdict("c", "failed", passed=False),
                verdict("d", "not measured", passed=False),
            ]
        )
        == "May not be approved: 2 of 4 gates stop it (c, d)."
    )


def test_waivers_are_shown(small: Any, tmp_path: Path) -> None:
    evidence = gather(train=small.train, evaluation=small.evaluation, data=small.tune)
    policy = replace(load_policy(), allowed_licences=(), items=1)
    waivers = [
        Waiver(gate=gate, actor="lena", reason="bought")
        for gate in ("base_licence", "data_licence")
    ]
    out = tmp_path / "review.html"
    review(small, out, verdicts=judge(policy, evidence, waivers))
    assert "by lena: bought" in Page(out).text
    assert "2 waived (base_licence, data_licence)" in Page(out).text
