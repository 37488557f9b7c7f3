import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Owlv2ForObjectDetection, Owlv2Processor

from umo.benchmarks.measures import ip_sim
from umo.benchmarks.measures.dino import Dino
from umo.benchmarks.measures.ip_sim import Finder, IpSim, Subject, cut_out, read_subjects
from umo.benchmarks.measures.measure import Painted
from umo.errors import NotFoundError, UsageError

MULTI = Path(__file__).parents[5] / "shared" / "xversebench" / "XVerseBench_multi.json"


@pytest.fixture
def reference(tmp_path: Path, painted: Painted) -> Path:
    Image.fromarray(painted.pictures[0]).save(tmp_path / "dog.png")
    return tmp_path / "dog.png"


def test_it_is_the_best_cosine_of_what_was_found(
    dino: Path, owlv2: Path, painted: Painted, reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ip_sim, "THRESHOLD", 0.0)
    network, finder = Dino(str(dino)), Finder(str(owlv2))
    subjects = [Subject(word="dog", file=reference), Subject(word="cat", file=reference)]
    values = IpSim(network, finder, {"1": subjects}).of(painted)
    (feature,) = network.embed(painted.pictures[:1])
    for value, picture in zip(values, painted.pictures, strict=True):
        best = []
        for word in ("dog", "cat"):
            crops = finder.find(picture, word)
            cosines = [float(network.embed([crop])[0] @ feature) for crop in crops]
            best.append(max(cosines, default=0))
        assert value == pytest.approx(50 * sum(best), abs=1e-3)
    assert any(values)
    monkeypatch.setattr(ip_sim, "THRESHOLD", 1.0)
    assert IpSim(network, finder, {"1": subjects}).of(painted) == [0, 0, 0]


def test_what_is_cut_out_first_has_the_best_score(
    owlv2: Path, painted: Painted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ip_sim, "THRESHOLD", 0.0)
    picture = painted.pictures[0]
    model = Owlv2ForObjectDetection.from_pretrained(owlv2).eval()
    processor = Owlv2Processor.from_pretrained(owlv2)
    image = Image.fromarray(picture)
    inputs = processor(text=[["a photo of a dog"]], images=[image], return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs)
    best = outputs.logits[0, :, 0].argsort(descending=True)
    x, y, w, h = (outputs.pred_boxes[0, best] * max(picture.shape)).T.numpy()
    boxes = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1)
    finder = Finder(str(owlv2))
    finder.find(picture, "very " * 20 + "long word")
    found = finder.find(picture, "dog")
    assert len(found) == 3
    for ours, theirs in zip(found, cut_out(picture, boxes), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_prompt_without_objects_has_none(
    dino: Path, owlv2: Path, painted: Painted, reference: Path
) -> None:
    subjects = {"1": [Subject(word="dog", file=reference.with_name("lost.png"))], "2": []}
    measure = IpSim(Dino(str(dino)), Finder(str(owlv2)), subjects)
    for key in ("2", "3"):
        assert measure.of(replace(painted, key=key)) == [None] * 3
    with pytest.raises(NotFoundError, match=r"no reference picture at .*lost\.png"):
        measure.of(painted)


def test_boxes_are_cut_at_the_edge_padded_and_few() -> None:
    picture = np.full((100, 200, 3), 50, dtype=np.uint8)
    boxes = np.array(
        [[-5.0, 10, 40, 30], [0, 0, 9, 50], [0, 0, 50, 4], [10, 10, 30, 40]] + [[0, 0, 20, 20]] * 3
    )
    crops = cut_out(picture, boxes)
    assert [crop.shape for crop in crops] == [(40, 40, 3), (30, 30, 3), (20, 20, 3)]
    assert (crops[0][10:30] == 50).all()
    assert (crops[0][:10] == 255).all()
    assert (crops[1][:, 5:25] == 50).all()


def test_subjects_of_xversebench() -> None:
    if not MULTI.is_file():
        pytest.skip("XVerseBench is not here")
    subjects = read_subjects(MULTI, Path("references"))
    assert len(subjects) == 210
    moped = Subject(word="motorcycle", file=Path("references/object/00_motorcycle.jpg"))
    assert subjects["0"] == [moped]
    assert not any(s.file.parent.name == "human" for found in subjects.values() for s in found)


def test_another_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "items.json"
    with pytest.raises(NotFoundError, match="no item file"):
        read_subjects(file, tmp_path)
    for content in ("{", json.dumps([{"index": 1}]), "[1]"):
        file.write_text(content)
        with pytest.raises(UsageError, match="is no item file of XVerseBench"):
            read_subjects(file, tmp_path)
