"""Every number against a slow, obvious computation, and cases whose answer a person knows."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.evaluation import pairwise
from services.small_benchmark import Small, cosines, scene
from umo.benchmarks.faces import Gallery, Look
from umo.benchmarks.public import read_table, write_xversebench
from umo.benchmarks.score import Scorer
from umo.evaluation.metrics import id_conf, id_conf_scripts, id_sim
from umo.faces.packs import FacePack, embed_faces


def score(small: Small, gallery: Gallery, look: Look = "once") -> dict[str, Any]:
    scorer = Scorer(small.read(), gallery, look)
    return json.loads(json.dumps(scorer.score("pasted", small.pictures, lambda facts: None)))


@pytest.fixture(scope="module")
def scores(small: Small, gallery: Gallery) -> dict[str, Any]:
    return score(small, gallery)


@pytest.fixture(scope="module")
def compatible(small: Small, gallery: Gallery) -> dict[str, Any]:
    return score(small, gallery, "again")


def test_shape_of_the_scores(scores: dict[str, Any]) -> None:
    assert scores["benchmark"]["name"] == "xversebench-items"
    assert (scores["benchmark"]["items"], scores["benchmark"]["pictures"]) == (4, 4)
    assert scores["embedders"] == ["judge", "reward"]
    assert scores["absent"] == ["animal/12_wolf.jpg", "object/00_motorcycle.jpg"]
    assert [item["group"] for item in scores["items"]] == ["2", "3", "1", "0"]
    assert [failure["name"] for failure in scores["failures"]] == ["items.json"]
    assert scores["items"][0]["references"][0] == {
        "name": "human/01_man.jpg",
        "identity": "01_man",
    }
    assert [p["name"][-2:] for p in scores["items"][0]["pictures"]] == ["#0", "#1", "#2", "#3"]
    assert all(len(p["boxes"]) == 0 for p in scores["items"][3]["pictures"]), "nobody is asked for"


def test_cases_that_a_person_can_judge(scores: dict[str, Any]) -> None:
    as_asked, swapped = cosines(scores, "0", 0), cosines(scores, "0", 1)
    lost, extra = cosines(scores, "0", 2), cosines(scores, "0", 3)
    assert as_asked.shape == swapped.shape == (2, 2)
    boxes = [np.array(scores["items"][0]["pictures"][cell]["boxes"]) for cell in (0, 1)]
    left = [box[:, 0].argsort() for box in boxes]
    assert as_asked[:, left[0]].argmax(axis=1).tolist() == [0, 1]
    assert swapped[:, left[1]].argmax(axis=1).tolist() == [1, 0]
    assert lost.shape == (2, 1)
    assert extra.shape == (2, 3)
    assert id_conf(lost).tolist() == [0, 0]
    assert id_conf_scripts(lost).size == 0, "a picture with one face is skipped"
    nobody = cosines(scores, "1", 1)
    assert nobody.shape == (3, 0)
    assert id_sim(nobody).tolist() == [0, 0, 0]


def test_ties_leave_no_confidence(scores: dict[str, Any]) -> None:
    twins = cosines(scores, "2", 2)
    assert twins.shape == (1, 2)
    assert id_conf(twins) == pytest.approx(0, abs=0.05)
    assert id_conf_scripts(twins) == pytest.approx(0, abs=0.05)


def embedded(pack: FacePack, picture: Any) -> list[list[float]]:
    """The judge's embedding of each face, one at a time."""
    pixels = torch.from_numpy(np.array(picture))[None]
    (faces,) = pack.detector.detect(pixels)
    image = pixels.permute(0, 3, 1, 2) / 127.5 - 1
    rows = []
    for number in range(len(faces)):
        one = type(faces)(
            boxes=faces.boxes[number : number + 1],
            landmarks=faces.landmarks[number : number + 1],
            scores=faces.scores[number : number + 1],
        )
        rows.append(embed_faces(image, [one], pack.judge)[0][0].tolist())
    return rows


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_both_definitions_equal_a_slow_computation(
    small: Small, pack: FacePack, scores: dict[str, Any]
) -> None:
    for item in small.read().items[:3]:
        (path,) = small.pictures.glob(item.pattern)
        people = [
            embedded(pack, pairwise.Image.open(person.file).convert("RGB"))[0]
            for person in item.people
        ]
        for cell, picture in enumerate(pairwise.split_grid(path)):
            faces = embedded(pack, picture)
            measured = cosines(scores, item.key, cell)
            sims, papers, scripts = [], [], []
            for person in people:
                ranked = sorted((dot(person, face) for face in faces), reverse=True)
                best, second = [*ranked, 0.0, 0.0][:2]
                sims.append(best if ranked else 0.0)
                lost = len(faces) < len(people)
                papers.append(0.0 if lost or best <= 0 else min(max(1 - second / best, 0), 1))
                if len(faces) >= 2:
                    scripts.append(min(1, (best - second) / best) if best > 0 else 0)
            assert id_sim(measured) == pytest.approx(sims, abs=1e-5)
            assert id_conf(measured) == pytest.approx(papers, abs=1e-4)
            assert id_conf_scripts(measured) == pytest.approx(scripts, abs=1e-4)


def test_compatible_scores_are_those_of_the_pairwise_way(
    small: Small, pack: FacePack, compatible: dict[str, Any], tmp_path: Path
) -> None:
    assert compatible["embedders"] == ["judge"]
    write_xversebench(compatible, tmp_path, "pasted")
    sims, confs = (
        read_table(tmp_path / f"{stem}_pasted.json") for stem in ("id_scores", "id_conf")
    )
    everything: list[float] = []
    for item in small.read().items[:3]:
        (path,) = small.pictures.glob(item.pattern)
        references = {person.name.replace("/", "_"): person.file for person in item.people}
        slow = pairwise.id_sim(pack, references, path)
        for mine, theirs in zip(sims[item.key], slow, strict=True):
            assert mine == pytest.approx(theirs, abs=1e-3)
        for mine, theirs in zip(
            confs[item.key], pairwise.id_conf(pack, references, path), strict=True
        ):
            assert mine == pytest.approx(theirs, abs=1e-4)
        everything += [value for one in slow for value in one.values()]
    assert sims["3"] == confs["3"] == [{}, {}, {}, {}]
    first, *rest = (tmp_path / "id_scores_pasted.txt").read_text().splitlines()
    assert first == f"ID Score: {np.mean(everything):.2f}"
    assert rest[0].startswith("human_01_man.jpg: ")
    assert "ID Conf: " in (tmp_path / "id_conf_pasted.txt").read_text()


def test_nothing_is_looked_at_twice(small: Small, gallery: Gallery, scores: dict[str, Any]) -> None:
    class Blind:
        def detect(self, images: torch.Tensor) -> list[Any]:
            raise AssertionError("a picture was looked at again")

    blind = FacePack(**{**vars(gallery.pack), "detector": Blind()})
    assert score(small, Gallery(gallery.folder, blind)) == scores


def test_processes_and_shares_give_the_same_scores(
    small: Small, pack: FacePack, scores: dict[str, Any], tmp_path: Path
) -> None:
    shared = Scorer(small.read(), Gallery(tmp_path / "shared", pack), "once")
    for share in range(4):
        items = shared.benchmark.items[share::4]
        assert (
            list(shared.look_ahead(small.pictures, items, 1))
            == list(range(1, len(items) + 1))[: sum(bool(item.people) for item in items)]
        )
    assert score(small, Gallery(tmp_path / "shared", pack)) == scores
    pooled = Scorer(small.read(), Gallery(tmp_path / "pooled", pack), "once")
    assert list(pooled.look_ahead(small.pictures, pooled.benchmark.items, 4)) == [1, 2, 3]
    assert score(small, Gallery(tmp_path / "pooled", pack)) == scores


def test_what_was_seen_is_looked_at_again_if_it_is_damaged(
    small: Small, pack: FacePack, scores: dict[str, Any], tmp_path: Path
) -> None:
    gallery = Gallery(tmp_path, pack)
    file = next(small.pictures.glob("2_*"))
    seen = gallery.faces(file, 2, "once")
    (kept,) = tmp_path.glob("*/*")
    kept.write_bytes(kept.read_bytes()[:50])
    again = gallery.faces(file, 2, "once")
    assert [one.boxes.tolist() for one in again] == [one.boxes.tolist() for one in seen]


def failed(own: Small, gallery: Gallery) -> dict[str, str]:
    found = score(own, gallery)
    wrong = {f["key"]: f["error"] for f in found["failures"] if f["key"]}
    for item in found["items"]:
        errors = {picture["error"] for picture in item["pictures"]}
        if item["key"] in wrong and item["references"]:
            assert errors == {wrong[item["key"]]}
            assert all(picture["boxes"] == [] for picture in item["pictures"])
    return wrong


def test_pictures_that_cannot_be_scored_are_named(own: Small, gallery: Gallery) -> None:
    damaged = next(own.pictures.glob("0_*"))
    damaged.write_bytes(damaged.read_bytes()[:3000])
    next(own.pictures.glob("1_*")).unlink()
    scene([4]).save(own.pictures / "2_another.png")
    odd = next(own.pictures.glob("3_*"))
    scene([]).resize((287, 96)).save(odd)
    wrong = failed(own, gallery)
    assert wrong["0"].startswith("the picture is damaged: ")
    assert wrong["1"] == "there is no picture"
    assert (
        wrong["2"]
        == "there are 2 files for the item: 2_A_girl_rides_a_motorcycle.png and 2_another.png"
    )
    assert wrong["3"] == "287 x 96 px is no grid of 2 x 2"
    assert len(wrong) == 4


def test_people_who_cannot_be_seen_are_named(own: Small, gallery: Gallery) -> None:
    scene([]).save(own.references / "human/01_man.jpg")
    (own.references / "human/04_girl.jpg").unlink()
    found = score(own, gallery)
    named = [(f["key"], f["name"], f["error"]) for f in found["failures"] if f["key"]]
    assert named == [
        ("0", "human/01_man.jpg", "no face is found in the reference"),
        ("1", "human/04_girl.jpg", "the person's picture is missing"),
        ("2", "human/04_girl.jpg", "the person's picture is missing"),
    ]
    assert [len(item["references"]) for item in found["items"]] == [1, 2, 0, 0]
    zero = cosines(score(own, gallery, "again"), "0", 0)
    assert zero[0].tolist() == [0, 0], "the scripts give 0 to a reference without a face"
