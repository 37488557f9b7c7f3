"""Faces as the public scripts see them, each found and embedded once.

The scripts of XVerse and UMO compare a reference with a picture thus: find the faces of the
picture; grow each box by 1.3 about its centre and cut it out; find faces in the cut-out and in the
reference again, take the first of each, embed both, and give 100 times their cosine; 0 where either
shows no face. They do so for every pair, and all of it once more for ID-Conf. A face does not
depend on whom it is compared with, so once is enough: a cut-out without a face gets an embedding of
zeros, whose cosine to anybody is 0.

Here boxes are rounded to whole pixels and cut at the edge of the picture.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from umo.bases.protocol import device_of
from umo.data.schema import Image
from umo.evaluation.measure import Seen
from umo.evaluation.metrics import Values
from umo.faces.packs import FacePack
from umo.pixels import to_float

GROWN = 1.3


@torch.no_grad()
def see_again(pack: FacePack, pictures: Sequence[Image]) -> list[Seen]:
    """The faces of pictures of one size, each found again in its cut-out; the judge's alone."""
    device = device_of(pack.judge)
    found = pack.detector.detect(torch.from_numpy(np.stack(pictures)).to(device))
    boxes = [faces.boxes.double().cpu().numpy() for faces in found]
    cuts = [
        torch.from_numpy(cut_out(picture, box)).to(device)
        for picture, of_picture in zip(pictures, boxes, strict=True)
        for box in of_picture
    ]
    rows = _embed_first(pack, cuts).double().cpu().numpy()
    ends = np.cumsum([len(of_picture) for of_picture in boxes])[:-1]
    return [
        Seen(boxes=of_picture, embeddings={"judge": embeddings})
        for of_picture, embeddings in zip(boxes, np.split(rows, ends), strict=True)
    ]


def cut_out(picture: Image, box: Values) -> Image:
    """What the scripts cut out for a box `[4]`, xyxy pixels, of a picture `[H,W,3]`."""
    height, width, _ = picture.shape
    left, top, right, bottom = grown(box).round().clip(0, (width, height) * 2).astype(int)
    return np.ascontiguousarray(picture[top:bottom, left:right])


def grown(box: NDArray[np.floating]) -> Values:
    """A box `[4]`, 1.3 times as large about its centre."""
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * GROWN
    return np.concatenate([centre - half, centre + half])


def _embed_first(pack: FacePack, cuts: Sequence[Tensor]) -> Tensor:
    """The judge's embeddings `[n,D]` of the first face of each picture, zeros where is none."""
    judge = pack.judge
    embeddings = judge.mean.new_zeros(len(cuts), judge.dim)
    crops, rows = [], []
    for row, cut in enumerate(cuts):
        if not cut.numel():
            continue
        (faces,) = pack.detector.detect(cut[None])
        if len(faces):
            image, first = to_float(cut)[None], faces.landmarks[:1]
            owner = torch.zeros(1, dtype=torch.long, device=cut.device)
            crops.append(judge.crops(image, first, owner))
            rows.append(row)
    if rows:
        embeddings[rows] = judge(torch.cat(crops))
    return embeddings
