"""Greedy non-maximum suppression of boxes, one picture at a time."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor


def nms(
    boxes: Tensor,
    scores: Tensor,
    owner: Tensor,
    *,
    threshold: float,
    over: Literal["union", "smaller"] = "union",
) -> Tensor:
    """Rows that remain, best first within each picture, pictures in order.

    Args:
        boxes: `[n,4]` xyxy pixels.
        scores: `[n]`; equal scores keep their order.
        owner: `[n]` index of the picture of each box; boxes of different pictures never meet.
        threshold: Greatest overlap two remaining boxes may have, 0 to 1.
        over: What the intersection is divided by: the union, or the smaller of the two boxes.
    """
    corners = boxes.double().cpu().numpy()
    sides = (corners[:, 2:] - corners[:, :2]).clip(min=0)
    areas = sides[:, 0] * sides[:, 1]
    pictures = owner.cpu().numpy()
    order = np.lexsort((-scores.double().cpu().numpy(), pictures))
    kept: list[int] = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(int(best))
        low = np.maximum(corners[best, :2], corners[order, :2])
        high = np.minimum(corners[best, 2:], corners[order, 2:])
        shared = np.prod((high - low).clip(min=0), axis=1)
        if over == "smaller":
            whole = np.minimum(areas[best], areas[order])
        else:
            whole = areas[best] + areas[order] - shared
        overlaps = shared > threshold * whole
        order = order[~(overlaps & (pictures[order] == pictures[best]))]
    return torch.tensor(kept, dtype=torch.long, device=boxes.device)
