"""Exhibits: pictures of the same prompt and seed side by side, encoded to be carried in one page.

The worst regressions come first. If not everything fits the budget, half of it goes to the worst
and half to a random sample of the others, so that what is shown does not look worse than the whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image as Pillow
from scipy.optimize import linear_sum_assignment

from umo.data.schema import Image
from umo.data.shards import Dataset
from umo.errors import DiffersError
from umo.evaluation.figures import GREY, colour
from umo.evaluation.page import webp_uri
from umo.review.compare import BASE, CANDIDATE, CHAMPION, Comparison, Item, Picture

HEIGHT = 384
"""Pixels; higher pictures are shrunk."""
REFERENCE_HEIGHT = 128
QUALITY = 82


@dataclass(frozen=True, kw_only=True)
class Face:
    """A face box, in percent of the picture, and whose it is."""

    left: float
    top: float
    width: float
    height: float
    colour: str
    label: str
    """The judge's cosine to the reference it is assigned to; empty if it is assigned to none."""


@dataclass(frozen=True, kw_only=True)
class View:
    """One model's picture as the page shows it."""

    role: str
    title: str
    uri: str
    width: int
    height: int
    id_sim: float
    id_conf: float
    found: int
    extra: int
    faces: tuple[Face, ...]
    cosines: tuple[float | None, ...]
    """Of each reference and the face assigned to it; None for a missing person."""


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """One prompt and seed under every model."""

    key: str
    number: int
    """Which of the item's pictures, from 1."""
    index: int
    """Of the item in the held-out dataset."""
    prompt: str
    seed: int
    identities: tuple[str, ...]
    views: tuple[View, ...]
    change: Mapping[str, float]
    """Candidate minus base, and minus champion if there is one, in ID-Sim."""
    confusion: Mapping[str, float]
    """The same in ID-Conf."""
    lost: int
    """Faces fewer than the champion, or base without one, painted."""
    references: tuple[str, ...] = ()
    """A picture of each person as a data URI, empty if they are not at hand."""


@dataclass(frozen=True, kw_only=True)
class Exhibition:
    """What is shown, and out of how much."""

    exhibits: tuple[Exhibit, ...]
    """Worst first."""
    total: int
    worst: int
    """How many are shown for being the worst; the others shown are a random sample."""

    @property
    def people(self) -> list[int]:
        """The numbers of people that occur."""
        return sorted({len(exhibit.identities) for exhibit in self.exhibits})

    @property
    def sampled(self) -> int:
        """How many are shown as a random sample."""
        return len(self.exhibits) - self.worst


def exhibit(
    comparison: Comparison, references: Dataset | None, *, budget: int, seed: int = 0
) -> Exhibition:
    """Choose and encode pictures.

    Args:
        comparison: Who painted what.
        references: The held-out dataset, for pictures of the people.
        budget: Characters that the models' pictures may take in the page.
        seed: Of the random sample.

    Raises:
        DiffersError: The dataset is not the one that the models were judged on.
    """
    against = CHAMPION if CHAMPION in comparison.roles else BASE
    ranked = sorted(
        (
            (item, number)
            for item in comparison.items
            for number in range(len(item.pictures[CANDIDATE]))
        ),
        key=lambda row: _change(row[0], row[1], "id_sim", against),
    )
    shown: dict[int, Exhibit] = {}
    spent = 0
    for rank, (item, number) in enumerate(ranked):
        if shown and spent > budget // 2:
            break
        shown[rank] = _exhibit(item, number, comparison, against)
        spent += sum(len(view.uri) for view in shown[rank].views)
    worst = len(shown)
    rest = np.random.default_rng(seed).permutation(np.arange(worst, len(ranked)))
    for rank in rest.tolist():
        item, number = ranked[rank]
        candidate = _exhibit(item, number, comparison, against)
        spent += sum(len(view.uri) for view in candidate.views)
        if spent > budget:
            break
        shown[rank] = candidate
    pictures = _references(comparison, references, {e.index for e in shown.values()})
    exhibits = tuple(
        replace(shown[rank], references=pictures.get(shown[rank].index, ()))
        for rank in sorted(shown)
    )
    everything = len(shown) == len(ranked)
    return Exhibition(
        exhibits=exhibits, total=len(ranked), worst=len(ranked) if everything else worst
    )


def _exhibit(item: Item, number: int, comparison: Comparison, against: str) -> Exhibit:
    others = [role for role in comparison.roles if role != CANDIDATE]
    found = {role: item.pictures[role][number].faces.found for role in comparison.roles}
    return Exhibit(
        key=item.key,
        number=number + 1,
        index=item.index,
        prompt=item.prompt,
        seed=item.pictures[CANDIDATE][number].seed,
        identities=item.identities,
        views=tuple(
            _view(role, comparison.names[role], item.pictures[role][number])
            for role in comparison.roles
        ),
        change={role: _change(item, number, "id_sim", role) for role in others},
        confusion={role: _change(item, number, "id_conf", role) for role in others},
        lost=max(0, found[against] - found[CANDIDATE]),
    )


def _change(item: Item, number: int, metric: str, over: str) -> float:
    return item.pictures[CANDIDATE][number].score(metric) - item.pictures[over][number].score(
        metric
    )


def _view(role: str, title: str, picture: Picture) -> View:
    with Pillow.open(picture.file) as stored:
        full = stored.convert("RGB")
    image = _shrunk(full, HEIGHT)
    similarity = picture.similarity["judge"]
    people, assigned = linear_sum_assignment(similarity, maximize=True)
    owner = dict(zip(assigned.tolist(), people.tolist(), strict=True))
    face_of = {person: face for face, person in owner.items()}
    scale = 100 / np.array([full.width, full.height, full.width, full.height])
    return View(
        role=role,
        title=title,
        uri=webp_uri(image, quality=QUALITY),
        width=image.width,
        height=image.height,
        id_sim=picture.score("id_sim"),
        id_conf=picture.score("id_conf"),
        found=picture.faces.found,
        extra=picture.faces.extra,
        faces=tuple(
            _face(box, f"{similarity[owner[n], n]:.2f}", colour(owner[n]))
            if n in owner
            else _face(box, "", GREY)
            for n, box in enumerate(picture.boxes * scale)
        ),
        cosines=tuple(
            float(similarity[person, face_of[person]]) if person in face_of else None
            for person in range(len(similarity))
        ),
    )


def _face(box: Sequence[float], label: str, tone: str) -> Face:
    left, top, right, bottom = (float(edge) for edge in box)
    return Face(
        left=left, top=top, width=right - left, height=bottom - top, colour=tone, label=label
    )


def _shrunk(image: Pillow.Image, height: int) -> Pillow.Image:
    if image.height <= height:
        return image
    return image.resize(
        (max(1, round(image.width * height / image.height)), height), Pillow.Resampling.LANCZOS
    )


def _references(
    comparison: Comparison, dataset: Dataset | None, wanted: set[int]
) -> dict[int, tuple[str, ...]]:
    if dataset is None:
        return {}
    judged = comparison.summary["lineage"]["dataset"]["digest"]
    if dataset.digest != judged:
        raise DiffersError(
            f"{dataset.folder} has digest {dataset.digest}, the models were judged on {judged}",
            hint="name the held-out dataset of the evaluation",
        )
    return {
        index: tuple(_reference(picture) for picture in dataset[index].references)
        for index in sorted(wanted)
    }


def _reference(picture: Image) -> str:
    return webp_uri(_shrunk(Pillow.fromarray(picture), REFERENCE_HEIGHT), quality=QUALITY)
