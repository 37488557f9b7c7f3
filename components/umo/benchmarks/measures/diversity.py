"""Diversity: how far the pictures of one prompt are from each other.

With unit DINO features `f_i` of the n pictures of a prompt, picture i has

    100 * sum_{j != i} (1 - f_i . f_j) / (n - 1),

so the mean over a prompt's pictures is that over its pairs. A lone picture has none.
"""

from umo.benchmarks.measures.dino import Dino
from umo.benchmarks.measures.measure import Painted


class Diversity:
    """Measures how different the pictures of a prompt are."""

    name = "diversity"

    def __init__(self, dino: Dino) -> None:
        self._dino = dino
        self.made = {"model": dino.made}

    def of(self, painted: Painted) -> list[float | None]:
        """The mean distance of each picture to the others, x 100."""
        others = len(painted.pictures) - 1
        if others < 1:
            return [None] * len(painted.pictures)
        features = self._dino.embed(painted.pictures).double()
        distances = 1 - features @ features.T
        return [100 * float(d) for d in distances.fill_diagonal_(0).sum(dim=1) / others]
