"""Whom a benchmark asks for: the embeddings of the people in its reference pictures."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from umo.benchmarks.faces import Gallery, Look
from umo.benchmarks.item import Benchmark, Reference
from umo.errors import UmoError
from umo.evaluation.measure import EMBEDDERS, Seen
from umo.evaluation.metrics import Values

NO_FACE = "no face is found in the reference"
ALIKE = 0.5
"""Judge's cosine of two people from which they count as alike: a perfect picture of both then has
an ID-Conf of 50 or less."""


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """What is known of a person from one reference."""

    embeddings: Mapping[str, Values] | None
    """`[D]` by embedder; None if the reference does not count."""
    error: str = ""
    """What is wrong with the reference, on one line."""


class Likenesses:
    """The people of a benchmark, each looked at once.

    Args:
        benchmark: Says which face of a reference counts, and whether there may be none.
        gallery: Sees faces.
        look: As pictures are looked at. `once` takes the largest face of a reference; `again` takes
            what the benchmark's public script takes, and 0 is everybody's cosine to a reference
            without a face.
    """

    def __init__(self, benchmark: Benchmark, gallery: Gallery, look: Look) -> None:
        self.embedders = EMBEDDERS if look == "once" else EMBEDDERS[:1]
        self._gallery = gallery
        self._faceless = benchmark.faceless
        self._first = look == "again" and not benchmark.largest
        self._look: Look = look if benchmark.largest else "once"
        self._known: dict[Path, Likeness] = {}

    def of(self, person: Reference) -> Likeness:
        """The likeness of a person."""
        if person.file not in self._known:
            self._known[person.file] = self._see(person.file)
        return self._known[person.file]

    def dimension(self, embedder: str) -> int:
        """Length D of the embeddings of an embedder of the pack."""
        network = self._gallery.pack.judge if embedder == "judge" else self._gallery.pack.reward
        return network.dim

    def same(self, people: Iterable[Reference]) -> dict[str, float]:
        """Judge's cosine of two real pictures, by identity, of those who have two with a face."""
        cosines = {}
        for person in people:
            if person.other is None or person.identity in cosines:
                continue
            pair = [self._gallery.faces(file, 1, "once")[0] for file in (person.file, person.other)]
            if all(len(seen.boxes) for seen in pair):
                one, other = (seen.largest().embeddings["judge"][0] for seen in pair)
                cosines[person.identity] = round(float(one @ other), 6)
        return cosines

    def alike(self, people: Iterable[Reference]) -> list[dict[str, Any]]:
        """Pairs of people whom the judge takes for relatives at least, the nearest first."""
        if self._faceless:
            return []  # who is who is not known
        rows = {
            person.identity: likeness.embeddings
            for person in people
            if (likeness := self.of(person)).embeddings and not likeness.error
        }
        names = sorted(rows)
        cosines = {
            embedder: vectors @ vectors.T
            for embedder in self.embedders
            for vectors in [np.array([rows[name][embedder] for name in names])]
        }
        pairs = [
            {
                "identities": [names[one], names[other]],
                **{name: round(float(values[one, other]), 4) for name, values in cosines.items()},
            }
            for one, other in combinations(range(len(names)), 2)
            if cosines["judge"][one, other] >= ALIKE
        ]
        return sorted(pairs, key=lambda pair: -pair["judge"])

    def _see(self, file: Path) -> Likeness:
        if not file.is_file():
            return Likeness(embeddings=None, error="the person's picture is missing")
        try:
            (seen,) = self._gallery.faces(file, 1, self._look)
        except UmoError as error:
            return Likeness(embeddings=None, error=str(error))
        if len(seen.boxes):
            return Likeness(embeddings=self._row(seen.only(0) if self._first else seen.largest()))
        if self._faceless:
            return Likeness(embeddings=None)
        if self._first:
            zeros = {name: np.zeros(self.dimension(name)) for name in self.embedders}
            return Likeness(embeddings=zeros, error=NO_FACE)
        return Likeness(embeddings=None, error=NO_FACE)

    def _row(self, seen: Seen) -> dict[str, Values]:
        return {name: seen.embeddings[name][0] for name in self.embedders}
