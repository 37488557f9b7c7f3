"""Reading scored benchmarks: what is wrong is named, on one line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.scored_models import CELLS, PEOPLE, entry, random_items, write_scored
from umo.errors import DiffersError, NotFoundError
from umo.evaluation.scored import read_scored

SWAP = [[[0.1, 0.8], [0.7, 0.2]]]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    folder = write_scored(tmp_path / "a", "uno", random_items(0.5, seed=1))
    scored = read_scored(folder)
    assert (scored.model, scored.pack, scored.embedders) == ("uno", "open", ("judge", "reward"))
    assert (len(scored.items), scored.expected, scored.cells) == (len(PEOPLE), len(PEOPLE), CELLS)
    said = json.loads((folder / "scores.json").read_text())["items"][3]
    item = scored.items["item-3"]
    assert [reference.identity for reference in item.references] == ["anna", "ben", "carl"]
    assert item.arrangement == (0, 1, 2)
    for picture, wanted in zip(item.pictures, said["pictures"], strict=True):
        assert picture.similarity["judge"].tolist() == wanted["similarity"]["judge"]
        assert picture.boxes.tolist() == wanted["boxes"]
    assert read_scored(folder, "mine").model == "mine"


def test_pictures_without_faces_or_score(tmp_path: Path) -> None:
    items = [entry("a", [[[], []], "damaged file", SWAP[0]])]
    nobody, failed, swapped = (
        read_scored(write_scored(tmp_path / "a", "m", items)).items["a"].pictures
    )
    assert nobody.similarity["judge"].shape == (2, 0)
    assert (nobody.error, failed.error) == ("", "damaged file")
    assert swapped.centres.tolist() == [6, 22]
    assert np.array_equal(swapped.similarity["reward"], SWAP[0])


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([entry("a", SWAP), entry("a", SWAP)], "item 'a' twice"),
        ([entry("a", SWAP, arrangement=[0, 2])], "item 'a' arranges 2 people as [0, 2]"),
        ([entry("a", [[[0.1, 1.4], [0.7, 0.2]]])], "item 'a' has a cosine by judge beyond"),
        ([entry("a", [[[0.1, float("nan")], [0.7, 0.2]]])], "item 'a' has a cosine by judge"),
        (
            [entry("a", SWAP, reward=[[[0.1], [0.2]]])],
            "cosines [2, 1] by reward for 2 references and 2 faces",
        ),
        ([{"key": "a"}], "no scored benchmark: KeyError('references')"),
    ],
)
def test_wrong_items_are_named(tmp_path: Path, items: list[Any], message: str) -> None:
    folder = write_scored(tmp_path / "a", "m", items)
    with pytest.raises(DiffersError) as error:
        read_scored(folder)
    assert message in str(error.value)


def test_only_what_the_manifest_sealed(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"has no manifest\.json"):
        read_scored(tmp_path)
    folder = write_scored(tmp_path / "a", "m", [entry("a", SWAP)])
    (folder / "scores.json").write_text((folder / "scores.json").read_text() + " ")
    with pytest.raises(DiffersError, match="its manifest says"):
        read_scored(folder)
    (folder / "scores.json").unlink()
    with pytest.raises(NotFoundError, match=r"no scores\.json"):
        read_scored(folder)
