from pathlib import Path

import numpy as np
from PIL import Image

from umo.faces.packs import FacePack
from umo_serving.identity import match
from umo_serving.probe import PICTURES

ANNA, BEN = (np.asarray(Image.open(path)) for path in sorted(PICTURES.glob("*.png")))
NOBODY = np.full((96, 96, 3), 90, np.uint8)


def beside(*pictures: np.ndarray) -> np.ndarray:
    return np.concatenate(pictures, axis=1)


def test_everybody_is_matched_wherever_they_stand(pack: FacePack) -> None:
    straight, crossed = match(pack, [ANNA, BEN], [beside(ANNA, BEN), beside(BEN, ANNA)])
    for found in (straight, crossed):
        assert len(found["boxes"]) == 2
        assert np.shape(found["cosines"]) == (2, 2)
        assert found["score"] > 0.9
    for found, places in ((straight, (0, 96)), (crossed, (96, 0))):
        for reference, face in found["assignment"]:
            left, _, right, _ = found["boxes"][face]
            assert places[reference] < (left + right) / 2 < places[reference] + 96


def test_a_missing_person_counts_as_nothing(pack: FacePack) -> None:
    (found,) = match(pack, [ANNA, BEN], [beside(ANNA, NOBODY)])
    assert found["assignment"] == [[0, 0]]
    assert 0.4 < found["score"] < 0.51
    (nobody,) = match(pack, [ANNA, BEN], [beside(NOBODY, NOBODY)])
    assert nobody == {"boxes": [], "cosines": [[], []], "assignment": [], "score": 0.0}


def test_a_reference_without_a_face_is_told_apart(pack: FacePack) -> None:
    (found,) = match(pack, [NOBODY, BEN], [beside(ANNA, BEN)])
    assert found["cosines"][0] == [None, None]
    assert [reference for reference, _ in found["assignment"]] == [1]


def test_the_people_of_the_probe_are_shipped() -> None:
    assert [Path(path).name for path in sorted(PICTURES.iterdir())] == ["1.png", "2.png"]
