"""What models are compared by: every metric by name, with its formula and which way is better."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from umo.evaluation.metrics import (
    Values,
    copy_paste,
    extra,
    id_conf,
    id_conf_scripts,
    id_sim,
    missing,
    mixed,
    placed,
)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """All that a criterion may look at in one picture."""

    similarity: Values
    """Cosines `[M,N]` of the item's references and the picture's faces."""
    centres: Values
    """Of the faces, `[N]`, growing from left to right."""
    arrangement: tuple[int, ...] | None
    """Place from the left that each reference was asked for; None if none was."""
    same: Values
    """Cosine of two real photos of each person `[M]`, NaN where there are none."""
    measures: Mapping[str, float]
    """What other models say of the whole picture, 0 to 100."""


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """A metric, as the comparison computes and shows it."""

    title: str
    values: Callable[[Scene], Values]
    """One value per reference `[M]` (NaN: not measured there), or `[1]`, or `[0]`."""
    formula: str
    """In plain text, for people."""
    better: Literal["higher", "lower"] = "higher"
    per_reference: bool = True
    """Whether there is a value for each reference, so that it can be told by identity."""

    @property
    def sign(self) -> int:
        """1 if higher is better, else -1."""
        return 1 if self.better == "higher" else -1


def _placed(scene: Scene) -> Values:
    if scene.arrangement is None:
        return np.zeros(0)
    return placed(scene.similarity, scene.centres, scene.arrangement)


CRITERIA: Mapping[str, Criterion] = MappingProxyType(
    {
        "id_sim": Criterion(
            title="ID-Sim",
            values=lambda scene: id_sim(scene.similarity),
            formula="best cosine of the reference over all faces; 0 without a face",
        ),
        "id_conf": Criterion(
            title="ID-Conf (paper)",
            values=lambda scene: id_conf(scene.similarity),
            formula="clip(1 − second best / best cosine, 0, 1); 0 for everybody in a picture with "
            "fewer faces than references",
        ),
        "id_conf_scripts": Criterion(
            title="ID-Conf (scripts)",
            values=lambda scene: id_conf_scripts(scene.similarity),
            formula="min(1, (best − second best) / best cosine), 0 where best ≤ 0; pictures with "
            "one face or none are skipped",
        ),
        "missing": Criterion(
            title="Missing people",
            values=lambda scene: missing(scene.similarity),
            formula="references that the one-to-one assignment leaves without a face, of 100",
            better="lower",
        ),
        "extra": Criterion(
            title="Extra people",
            values=lambda scene: extra(scene.similarity),
            formula="faces beyond the references, in 100 pictures",
            better="lower",
            per_reference=False,
        ),
        "mixed": Criterion(
            title="Mixed-up people",
            values=lambda scene: mixed(scene.similarity),
            formula="references whose best face is another reference's best face too, of 100; "
            "pictures of several people that show a face",
            better="lower",
        ),
        "placed": Criterion(
            title="Assignment accuracy",
            values=_placed,
            formula="references whose face, by the optimal one-to-one assignment, stands where "
            "they were asked for, of 100; 0 for everybody in a picture with fewer faces than "
            "references; where the benchmark asks for an arrangement",
        ),
        "copy_paste": Criterion(
            title="Copy-paste",
            values=lambda scene: copy_paste(scene.similarity, scene.same),
            formula="max(0, best cosine − cosine of two real photos of that person); where there "
            "are two real photos and a face",
            better="lower",
        ),
    }
)
"""The criteria of every comparison, in the order they are shown."""

MEASURES: Mapping[str, str] = MappingProxyType(
    {
        "prompt_following": "Prompt following",
        "picture_quality": "Picture quality",
        "ip_sim": "IP-Sim",
        "diversity": "Diversity",
        "dpg": "DPG",
    }
)
"""Titles of the measures that every comparison names, measured or not."""


def measure(name: str) -> Criterion:
    """The criterion of a measure of other models."""

    def values(scene: Scene) -> Values:
        value = scene.measures.get(name)
        return np.zeros(0) if value is None else np.array([value / 100])

    return Criterion(
        title=MEASURES.get(name, name.replace("_", " ").capitalize()),
        values=values,
        formula="mean over pictures of what another model says of the whole picture",
        per_reference=False,
    )
