from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from umo.benchmarks.measures.dino import Dino
from umo.benchmarks.measures.diversity import Diversity
from umo.benchmarks.measures.measure import Painted


def test_the_mean_over_pictures_is_that_over_pairs(dino: Path, painted: Painted) -> None:
    network = Dino(str(dino))
    values = Diversity(network).of(painted)
    features = network.embed(painted.pictures).double().numpy()
    pairs = [1 - features[i] @ features[j] for i, j in combinations(range(3), 2)]
    assert np.mean([value or 0 for value in values]) == pytest.approx(100 * np.mean(pairs))
    assert values[0] == pytest.approx(100 * (pairs[0] + pairs[1]) / 2)


def test_the_same_picture_again_is_no_diversity(dino: Path, painted: Painted) -> None:
    same = replace(painted, pictures=[painted.pictures[0]] * 3)
    assert Diversity(Dino(str(dino))).of(same) == pytest.approx([0, 0, 0], abs=1e-4)


def test_a_lone_picture_has_none(dino: Path, painted: Painted) -> None:
    assert Diversity(Dino(str(dino))).of(replace(painted, pictures=painted.pictures[:1])) == [None]
