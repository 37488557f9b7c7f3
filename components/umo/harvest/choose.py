"""Targets with several known people, and references of each of them from other clips."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from umo.harvest.album import Album, People, Rows

MOUTH_DEGREES = 60.0
"""How many degrees of pose a mouth counts that is wider by the distance from eyes to mouth."""
REACH = 30.0
"""A larger difference is not better, degrees."""
MOST_CANDIDATES = 256
"""Faces of one person that are compared, the best by grade."""

FEW = "fewer than two known people"
TWICE = "one person twice"
STRANGERS = "people without references"
CROWD = "too many people"
DUPLICATE = "near-duplicate"
ENOUGH = "enough of its clip"


@dataclass(frozen=True, kw_only=True)
class ChoiceConfig:
    """Which pictures become targets, and which faces references."""

    references: int = 3
    """Most references of a person in a sample; the first is the best."""
    change: float = 5.0
    """Least difference of pose and mouth between the target and a reference, degrees."""
    strangers: int = 0
    """Most faces of a target that have no references."""
    people: int = 6
    """Most people in a target."""
    per_clip: int = 4
    """Most targets from one clip."""

    def __post_init__(self) -> None:
        if min(self.references, self.per_clip) < 1 or self.people < 2:
            raise ValueError(
                f"references {self.references} and per_clip {self.per_clip} must be at least 1, "
                f"people {self.people} at least 2"
            )


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One sample, as numbers of an album's pictures and faces."""

    picture: int
    faces: tuple[int, ...]
    """Of the target, from left to right."""
    references: tuple[tuple[int, ...], ...]
    """Of each person."""
    grade: float
    """The least of all faces, 0 to 1."""


def choose(
    album: Album, people: People, config: ChoiceConfig
) -> tuple[list[Choice], dict[str, int]]:
    """Choose the samples of an album.

    Returns:
        The samples in the order of their pictures, and the number of rejected pictures by reason.
    """
    owner: Rows = album["face.picture"]
    pose = _comparable(album["face.pose"])
    wanted = _candidates(album, people)
    rejected: Counter[str] = Counter()
    found: list[Choice] = []
    starts = np.searchsorted(owner, np.arange(len(album["picture.file"]) + 1))
    for picture in range(len(starts) - 1):
        faces = np.arange(starts[picture], starts[picture + 1])
        reason, choice = _judge(album, people, config, picture, faces, pose, wanted)
        if choice:
            found.append(choice)
        else:
            rejected[reason] += 1
    kept = _best_of_clips(album, found, config.per_clip)
    rejected[ENOUGH] += len(found) - len(kept)
    return kept, dict(+rejected)


def _judge(
    album: Album,
    people: People,
    config: ChoiceConfig,
    picture: int,
    faces: Rows,
    pose: NDArray[np.float32],
    wanted: dict[int, Rows],
) -> tuple[str, Choice | None]:
    faces = faces[np.argsort(album["face.box"][faces][:, 0], kind="stable")]
    persons = people.face[faces]
    known = persons[persons >= 0]
    if len(known) < 2:
        return FEW, None
    if people.original[picture] != picture:
        return DUPLICATE, None
    if len(set(known.tolist())) < len(known):
        return TWICE, None
    shown, references = [], []
    for face, person in zip(faces.tolist(), persons.tolist(), strict=True):
        others = wanted.get(person, faces[:0])
        if picked := _references(face, others, album.clip, pose, album["face.grade"], config):
            shown.append(face)
            references.append(picked)
    strangers = int(album["picture.strangers"][picture]) + len(faces) - len(shown)
    if len(shown) < 2:
        return FEW, None
    if strangers > config.strangers:
        return STRANGERS, None
    if len(shown) > config.people:
        return CROWD, None
    grades = album["face.grade"][[*shown, *(face for picked in references for face in picked)]]
    return "", Choice(
        picture=picture,
        faces=tuple(shown),
        references=tuple(references),
        grade=float(grades.min()),
    )


def _references(
    face: int,
    others: Rows,
    clips: Rows,
    pose: NDArray[np.float32],
    grade: NDArray[np.float32],
    config: ChoiceConfig,
) -> tuple[int, ...]:
    """Faces of different clips, good and far, in pose and mouth, from the target and each other."""
    others = others[clips[others] != clips[face]]
    apart = np.linalg.norm(pose[others] - pose[face], axis=1)
    others, apart = others[apart >= config.change], apart[apart >= config.change]
    picked: list[int] = []
    while len(others) and len(picked) < config.references:
        best = int((grade[others] * np.minimum(apart, REACH)).argmax())
        picked.append(int(others[best]))
        apart = np.minimum(apart, np.linalg.norm(pose[others] - pose[others[best]], axis=1))
        left = (apart >= config.change) & (clips[others] != clips[others[best]])
        others, apart = others[left], apart[left]
    return tuple(picked)


def _candidates(album: Album, people: People) -> dict[int, Rows]:
    """The best faces of each known person, none of a near-duplicate picture."""
    owner = album["face.picture"]
    usable = np.flatnonzero((people.face >= 0) & (people.original[owner] == owner))
    order = usable[np.lexsort((usable, -album["face.grade"][usable], people.face[usable]))]
    cuts = np.flatnonzero(np.diff(people.face[order])) + 1
    groups = np.split(order, cuts) if len(order) else []
    return {int(people.face[group[0]]): group[:MOST_CANDIDATES] for group in groups}


def _comparable(pose: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pose and mouth `[F,4]` as degrees."""
    return pose * np.array([1, 1, 1, MOUTH_DEGREES], np.float32)


def _best_of_clips(album: Album, found: list[Choice], most: int) -> list[Choice]:
    clips = album["picture.clip"]
    taken: Counter[int] = Counter()
    kept = []
    for choice in sorted(found, key=lambda choice: (-choice.grade, choice.picture)):
        clip = int(clips[choice.picture])
        if taken[clip] < most:
            taken[clip] += 1
            kept.append(choice)
    return sorted(kept, key=lambda choice: choice.picture)
