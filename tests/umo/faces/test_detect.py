import pytest
import torch
from torch import Tensor

from umo.data.schema import Sample
from umo.faces.detect import Faces
from umo.faces.packs import FacePack, detect_float


def test_every_rendered_person_is_found_where_it_stands(
    pack: FacePack, scenes: Tensor, samples: list[Sample]
) -> None:
    for faces, sample in zip(pack.detector.detect(scenes), samples, strict=True):
        assert len(faces) == 2
        middles = (faces.boxes[:, :2] + faces.boxes[:, 2:])[:, 0] / 2
        for left, _, right, _ in sample.boxes:
            assert ((middles > left) & (middles < right)).sum() == 1
        assert faces.scores.tolist() == sorted(faces.scores.tolist(), reverse=True)
        left_eye, right_eye, nose, left_mouth, right_mouth = faces.landmarks.unbind(dim=1)
        assert (left_eye[:, 0] < right_eye[:, 0]).all()
        assert (left_mouth[:, 0] < right_mouth[:, 0]).all()
        assert (left_eye[:, 1] < nose[:, 1]).all()
        assert (nose[:, 1] < left_mouth[:, 1]).all()


def test_a_batch_equals_its_pictures_one_by_one(pack: FacePack, scenes: Tensor) -> None:
    together = pack.detector.detect(scenes)
    for index, faces in enumerate(together):
        (alone,) = pack.detector.detect(scenes[index : index + 1])
        torch.testing.assert_close(faces.boxes, alone.boxes, atol=0.05, rtol=0)
        torch.testing.assert_close(faces.landmarks, alone.landmarks, atol=0.05, rtol=0)


@pytest.mark.parametrize("shape", [(2, 96, 192, 3), (1, 8, 8, 3), (1, 40, 300, 3)])
def test_a_picture_without_a_face(pack: FacePack, shape: tuple[int, ...]) -> None:
    noise = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0)).byte()
    for faces in pack.detector.detect(noise):
        assert faces.boxes.shape == (0, 4)
        assert faces.landmarks.shape == (0, 5, 2)
        assert len(faces) == 0


def test_float_pictures_are_clamped_and_rounded(
    pack: FacePack, scenes: Tensor, pictures: Tensor
) -> None:
    (expected,) = pack.detector.detect(scenes[:1])
    beyond = torch.where(pictures[:1] == 1, 1.7, pictures[:1] + 0.001)
    (measured,) = detect_float(pack.detector, beyond)
    assert torch.equal(measured.boxes, expected.boxes)


def test_the_largest_face() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 20, 10], [0, 0, 5, 5]])
    faces = Faces(boxes=boxes, landmarks=torch.zeros(3, 5, 2), scores=torch.ones(3))
    assert faces.largest().boxes.tolist() == [[0, 0, 20, 10]]


def test_a_face_is_found_in_every_photograph(pack: FacePack, photographs: list[Tensor]) -> None:
    for picture in photographs:
        assert len(detect_float(pack.detector, picture[None])[0]) >= 1
