"""What is measured of a face follows what was done to it."""

import cv2
import numpy as np
import pytest
import torch

from services.footage import scene
from umo.data.schema import Image
from umo.faces.packs import FacePack, load_pack
from umo.harvest.look import Clock, LookConfig, Looked, look
from umo.harvest.quality import Measures, QualityConfig, grade, verdicts

QUALITY = QualityConfig()


@pytest.fixture(scope="module")
def pack() -> FacePack:
    return load_pack("open")


def seen(pack: FacePack, *pictures: Image) -> list[Looked]:
    return look(pack, pictures, LookConfig(), QUALITY, Clock())


def portrait(yaw: float = 0.0, seed: int = 3) -> Image:
    return scene([4], [yaw], "by a window", seed=seed, tile=224)


def test_the_turn_of_a_head_is_measured(pack: FacePack) -> None:
    yaws = (-0.4, -0.2, 0.0, 0.2, 0.4)
    found = seen(pack, *(portrait(yaw) for yaw in yaws))
    measured = [float(looked.measures.yaw[0]) for looked in found]
    np.testing.assert_allclose(measured, np.degrees(yaws), atol=9)
    assert grade(found[2].measures)[0] > grade(found[4].measures)[0]


def test_light_blur_and_size_have_their_reasons(pack: FacePack) -> None:
    good = portrait()
    dark = (good * 0.12).astype(np.uint8)
    bright = np.clip(good.astype(int) + 105, 0, 255).astype(np.uint8)
    blurred = cv2.GaussianBlur(good, (0, 0), 6).astype(np.uint8)
    small = cv2.resize(good, (72, 72), interpolation=cv2.INTER_AREA).astype(np.uint8)
    tilted = cv2.warpAffine(
        good, cv2.getRotationMatrix2D((112, 112), 25, 1), (224, 224), borderValue=(90, 90, 90)
    ).astype(np.uint8)
    found = seen(pack, good, dark, bright, blurred, small, tilted)
    assert all(len(looked.reasons) == 1 for looked in found)
    measures = [looked.measures for looked in found]
    assert found[0].reasons == [""]
    assert measures[1].brightness[0] < 0.1
    assert measures[2].brightness[0] > 0.85
    assert measures[3].sharpness[0] < 0.2 * measures[0].sharpness[0]
    assert found[4].reasons == ["small face"]
    assert abs(measures[5].roll[0]) == pytest.approx(25, abs=5)
    assert found[0].embeddings.shape == (1, 512)
    assert found[4].embeddings.shape == (0, 512)


def test_of_two_faces_the_nearer_covers_the_other() -> None:
    from umo.harvest.quality import _cover

    boxes = np.array([[10, 10, 50, 50], [30, 10, 110, 90], [-20, 0, 20, 40]], np.float32)
    cover = _cover((200, 200), boxes)
    np.testing.assert_allclose(cover, [0.5, 0.0, 0.5], atol=1e-6)


def test_the_first_broken_rule_is_the_reason() -> None:
    def column(*values: float) -> np.ndarray:
        return np.array(values, np.float32)

    measures = Measures(
        score=column(0.99, 0.5, 0.99, 0.99),
        side=column(100, 20, 20, 100),
        cover=column(0, 0, 0.9, 0),
        yaw=column(0, 0, 0, -50),
        pitch=column(0, 0, 0, 0),
        roll=column(0, 0, 0, 0),
        mouth=column(1, 1, 1, 1),
        sharpness=column(0.3, 0.3, 0.3, 0.3),
        brightness=column(0.5, 0.5, 0.5, 0.5),
        contrast=column(0.2, 0.2, 0.2, 0.2),
    )
    assert verdicts(measures, QUALITY) == ["", "uncertain face", "small face", "turned away"]
    graded = grade(measures)
    assert graded[0] == pytest.approx((0.99 * 100 / 112) ** 0.25, abs=1e-4)
    assert (graded[0] > graded[1:]).all()


def test_faces_do_not_depend_on_their_company(pack: FacePack) -> None:
    torch.set_num_threads(1)
    first, second = portrait(), scene([1, 2], [0.1, 0.2], "in a park", tile=180)
    (alone,) = seen(pack, second)
    (_, together) = seen(pack, first, second)
    np.testing.assert_allclose(alone.boxes, together.boxes, atol=0.01)
    np.testing.assert_allclose(alone.embeddings, together.embeddings, atol=1e-3)


def test_settings() -> None:
    with pytest.raises(ValueError, match="dark"):
        QualityConfig(dark=0.9, bright=0.5)
    with pytest.raises(ValueError, match="angles"):
        QualityConfig(yaw=0)
