"""Clusters are those of scipy's average linkage, found without its matrix."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

from umo.harvest import clusters
from umo.harvest.clusters import ClusterConfig, cluster, pairwise


def crowd(
    people: int, spread: float, seed: int = 0, dim: int = 24
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(people, dim))
    who = rng.integers(0, people, 12 * people)
    vectors = centres[who] / np.linalg.norm(centres[who], axis=1, keepdims=True)
    vectors = vectors + spread * rng.normal(size=vectors.shape)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), who


def same_partition(one: np.ndarray, other: np.ndarray) -> bool:
    return pairwise(one, other) == (1.0, 1.0)


@pytest.mark.parametrize("spread", [0.05, 0.15, 0.25])
@pytest.mark.parametrize("same", [0.3, 0.5, 0.7])
def test_average_linkage(monkeypatch: pytest.MonkeyPatch, spread: float, same: float) -> None:
    monkeypatch.setattr(clusters, "BLOCK", 50)
    vectors, _ = crowd(15, spread)
    cosine = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    tree = linkage((1 - cosine)[np.triu_indices(len(vectors), 1)], "average")
    expected = fcluster(tree, 1 - same, "distance")
    found = cluster(vectors, same)
    assert same_partition(found, np.unique(expected, return_inverse=True)[1])
    assert found[0] == 0
    assert (np.maximum.accumulate(found)[1:] >= found[1:]).all()


def test_people_who_are_apart_are_found() -> None:
    vectors, who = crowd(15, 0.1)
    assert same_partition(cluster(vectors, 0.5), who)


def test_nobody_and_one() -> None:
    assert cluster(np.zeros((0, 4), np.float32), 0.5).tolist() == []
    assert cluster(np.eye(1, 4, dtype=np.float32), 0.5).tolist() == [0]


def test_pairwise_precision_and_recall() -> None:
    truth = np.array([0, 0, 0, 1, 1])
    assert pairwise(np.array([0, 0, 1, 1, 2]), truth) == (1 / 2, 1 / 4)
    assert pairwise(np.arange(5), truth) == (1.0, 0.0)
    assert pairwise(np.zeros(5, int), truth) == (4 / 10, 1.0)


def test_references_need_another_clip() -> None:
    with pytest.raises(ValueError, match="another clip"):
        ClusterConfig(clips=1)
    with pytest.raises(ValueError, match="same is"):
        ClusterConfig(same=1.5)
