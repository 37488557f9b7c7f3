"""A face is followed while it moves, hides for a moment or crosses another."""

import numpy as np
import pytest

from umo.harvest.tracks import TrackConfig, link, overlap

EYES = np.eye(3, 8, dtype=np.float32)


def box(x: float) -> list[float]:
    return [x, 0, x + 50, 50]


def follow(faces: list[tuple[int, float, int]]) -> list[int]:
    """Tracks of faces given as (frame, x, person)."""
    frames = np.array([frame for frame, _, _ in faces])
    boxes = np.array([box(x) for _, x, _ in faces], np.float32)
    embeddings = EYES[[person for _, _, person in faces]]
    return link(frames, boxes, embeddings, TrackConfig()).tolist()


def test_two_people_who_change_places() -> None:
    faces = [(0, 0, 0), (0, 200, 1), (1, 100, 1), (1, 110, 0), (2, 0, 1), (2, 200, 0)]
    assert follow(faces) == [0, 1, 1, 0, 1, 0]


def test_a_face_may_be_missing_for_a_few_frames_only() -> None:
    assert follow([(0, 0, 0), (3, 0, 0), (7, 0, 0)]) == [0, 0, 1]


def test_someone_else_at_the_same_place_is_someone_else() -> None:
    assert follow([(0, 0, 0), (1, 0, 1)]) == [0, 1]


def test_an_overlap_makes_up_for_a_changed_look() -> None:
    changed = np.array([[0.4, (1 - 0.16) ** 0.5, 0, 0, 0, 0, 0, 0]], np.float32)
    frames = np.array([0, 1])
    embeddings = np.concatenate([EYES[:1], changed])
    near = np.array([box(0), box(5)], np.float32)
    far = np.array([box(0), box(90)], np.float32)
    assert link(frames, near, embeddings, TrackConfig()).tolist() == [0, 0]
    assert link(frames, far, embeddings, TrackConfig()).tolist() == [0, 1]


def test_overlap_is_intersection_over_union() -> None:
    boxes = np.array([box(0), box(25), box(60)], np.float32)
    np.testing.assert_allclose(overlap(boxes[:1], boxes), [[1, 1 / 3, 0]], atol=1e-6)


def test_near_cannot_ask_for_more_than_far() -> None:
    with pytest.raises(ValueError, match="near"):
        TrackConfig(near=0.8)
