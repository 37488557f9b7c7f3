"""Who is in a picture: its faces, matched one to one to the references."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from umo.data.schema import Image
from umo.evaluation.measure import see
from umo.faces.packs import FacePack


def match(
    pack: FacePack, references: Sequence[Image], pictures: Sequence[Image]
) -> list[dict[str, Any]]:
    """Match the faces of pictures of one size to references, by the judge.

    Args:
        pack: Finds and compares faces.
        references: `[h,w,3]` each, one person each; the largest face counts.
        pictures: `[H,W,3]` each.

    Returns:
        For each picture, in plain JSON values: `boxes` `[N][4]` xyxy pixels; `cosines` `[M][N]` of
        references and faces, a row of None for a reference without a face; `assignment` `[K][2]`
        pairs of reference and face that give the largest sum; `score`, the mean over all references
        of the assigned cosine, 0 for a person who is missing.
    """
    people = [see(pack, [reference])[0] for reference in references]
    known = [index for index, person in enumerate(people) if len(person.boxes)]
    dim = pack.judge.dim
    vectors = [people[index].largest().embeddings["judge"] for index in known]
    rows = np.concatenate([np.zeros((0, dim)), *vectors])
    found = []
    for picture in see(pack, pictures):
        cosines = rows @ picture.embeddings["judge"].T
        pairs = list(zip(*linear_sum_assignment(cosines, maximize=True), strict=True))
        table: list[list[float | None]] = [[None] * len(picture.boxes) for _ in people]
        for row, index in enumerate(known):
            table[index] = [round(float(value), 4) for value in cosines[row]]
        score = sum(float(cosines[pair]) for pair in pairs) / max(len(people), 1)
        found.append(
            {
                "boxes": [[round(float(side), 1) for side in box] for box in picture.boxes],
                "cosines": table,
                "assignment": [[known[row], int(face)] for row, face in pairs],
                "score": round(score, 4),
            }
        )
    return found
