import torch

from umo.faces.nms import nms

BOXES = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [4, 4, 6, 6], [20, 20, 30, 30]])
SCORES = torch.tensor([0.8, 0.9, 0.7, 0.6])


def test_the_best_of_overlapping_boxes_remains() -> None:
    kept = nms(BOXES, SCORES, torch.zeros(4).long(), threshold=0.5)
    assert kept.tolist() == [1, 2, 3]


def test_a_box_inside_another_gives_way_when_the_smaller_counts() -> None:
    kept = nms(BOXES, SCORES, torch.zeros(4).long(), threshold=0.5, over="smaller")
    assert kept.tolist() == [1, 3]


def test_boxes_of_different_pictures_never_meet() -> None:
    kept = nms(BOXES, SCORES, torch.tensor([1, 0, 0, 1]), threshold=0.5)
    assert kept.tolist() == [1, 2, 0, 3]


def test_equal_scores_keep_their_order() -> None:
    kept = nms(BOXES[[3, 0]], torch.ones(2), torch.zeros(2).long(), threshold=0.5)
    assert kept.tolist() == [0, 1]


def test_no_box() -> None:
    assert nms(BOXES[:0], SCORES[:0], torch.zeros(0).long(), threshold=0.5).shape == (0,)
