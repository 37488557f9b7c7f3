"""Samples out of choices: the target, its faces by the judge, the references and the words."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from umo.data.schema import Image, Sample
from umo.faces.detect import Faces
from umo.faces.packs import FacePack
from umo.harvest.album import Album, People
from umo.harvest.caption import Captioner
from umo.harvest.choose import Choice
from umo.harvest.look import align_faces, embed
from umo.harvest.quality import Values
from umo.harvest.read import ReadConfig

MULTIPLE = 16
"""Sides of a target are multiples of it, pixels, as the bases ask for."""
SOURCE = "harvested"


def identity(album: Album, person: int) -> str:
    """The id of a person; the beginning is that of the sources' content, so harvests differ."""
    return f"{album.content[:8]}-{person:06d}"


def write_samples(
    album: Album,
    people: People,
    choices: Sequence[Choice],
    *,
    pack: FacePack,
    caption: Captioner,
    read: ReadConfig,
    split: str,
) -> Iterator[Sample]:
    """The samples of choices, in their order; one is in memory at a time."""
    for choice in choices:
        pixels, corner = trimmed(album.pixels(choice.picture, read))
        faces = list(choice.faces)
        boxes = album["face.box"][faces] - np.tile(corner, 2)
        landmarks = album["face.landmarks"][faces] - corner
        crops = [[album.crop(face) for face in picked] for picked in choice.references]
        pictures = [choice.picture, *album["face.picture"][np.concatenate(choice.references)]]
        sources = [album.source(int(picture)) for picture in pictures]
        height, width = pixels.shape[:2]
        yield Sample(
            key=f"{album.content[:8]}-{choice.picture:07d}",
            prompt=caption(pixels, len(faces)),
            target=pixels,
            references=tuple(views[0] for views in crops),
            views=tuple(tuple(views[1:]) for views in crops),
            boxes=np.clip(boxes, 0, np.array([width, height, width, height], np.float32)),
            landmarks=landmarks,
            embeddings=_judged(pack, pixels, boxes, landmarks),
            identities=tuple(identity(album, int(people.face[face])) for face in faces),
            quality=choice.grade,
            split=split,
            source=SOURCE,
            licence="; ".join(dict.fromkeys(source.licence for source in sources)),
            consent="; ".join(dict.fromkeys(source.consent for source in sources)),
        )


def trimmed(pixels: Image) -> tuple[Image, Values]:
    """A picture whose sides are multiples of 16, cut evenly at both ends, and its corner xy."""
    height, width = pixels.shape[:2]
    top, left = height % MULTIPLE // 2, width % MULTIPLE // 2
    bottom, right = top + height - height % MULTIPLE, left + width - width % MULTIPLE
    return pixels[top:bottom, left:right].copy(), np.array([left, top], np.float32)


def _judged(pack: FacePack, pixels: Image, boxes: Values, landmarks: Values) -> Values:
    faces = Faces(
        boxes=torch.from_numpy(boxes),
        landmarks=torch.from_numpy(landmarks),
        scores=torch.ones(len(boxes)),
    )
    rows: Values = embed(pack.judge, align_faces(pixels, faces, pack.judge)).numpy()
    return rows
