"""Clusters: which tracks of all clips show the same person.

Average linkage (UPGMA, Sokal and Michener 1958): the two clusters with the largest mean cosine
between their members are joined, as long as it is at least the threshold. For unit vectors that
mean is the dot product of the clusters' mean vectors, so nothing of size `[N,N]` is kept.

The same clusters come out piece by piece. Two clusters that are joined hold a pair with at least
the threshold's cosine, so the connected components of such pairs can be clustered one by one; they
are found block by block. Inside one, the nearest-neighbour chain (Benzecri 1982) joins mutually
nearest clusters, which is the same as joining the globally nearest ones because the mean cosine to
a union lies between those to its parts; so does that a cluster whose nearest one is below the
threshold stays as it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from umo.harvest.quality import Values

BLOCK = 1024
"""Rows compared at once."""

Labels = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """Which tracks are one person."""

    same: float = 0.5
    """Least mean cosine of the reward embedder between the tracks of two clusters that join."""
    clips: int = 2
    """Fewest clips that a person must be seen in to be known."""

    def __post_init__(self) -> None:
        if not 0 < self.same < 1:
            raise ValueError(f"same is {self.same}, it must be above 0 and below 1")
        if self.clips < 2:
            raise ValueError(
                f"clips is {self.clips}, references come from another clip: at least 2"
            )


def cluster(vectors: Values, same: float) -> Labels:
    """Cluster unit vectors `[N,D]`, which may be a memory map.

    Returns:
        The cluster of each `[N]`, numbered by its first member.
    """
    labels = np.arange(len(vectors))
    for members in _components(vectors, same):
        if len(members) > 1:
            labels[members] = members[_average_linkage(vectors[members], same)]
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def pairwise(labels: Labels, truth: Labels) -> tuple[float, float]:
    """Precision and recall of the pairs that stand in one cluster, against the true people `[N]`.

    Precision is the share of pairs in one cluster that are one person, recall the share of pairs
    of one person that are in one cluster; 1 where there are no such pairs.
    """
    table = np.zeros((labels.max(initial=-1) + 1, truth.max(initial=-1) + 1), np.int64)
    np.add.at(table, (labels, truth), 1)
    both, found, true = (
        int((counts * (counts - 1) // 2).sum())
        for counts in (table, table.sum(axis=1), table.sum(axis=0))
    )
    return both / found if found else 1.0, both / true if true else 1.0


def _components(vectors: Values, same: float) -> Iterator[Labels]:
    """Members, ascending, of each connected component of the pairs with at least this cosine."""
    parent = np.arange(len(vectors))
    for start in range(0, len(vectors), BLOCK):
        rows = np.asarray(vectors[start : start + BLOCK])
        for other in range(0, start + 1, BLOCK):
            near = rows @ np.asarray(vectors[other : other + BLOCK]).T >= same
            places = np.concatenate(
                [start + np.arange(near.shape[0]), other + np.arange(near.shape[1])]
            )
            group = _groups(near)
            heads = np.full(len(places), -1)
            for place, head in zip(places.tolist(), group.tolist(), strict=True):
                heads[head] = place if heads[head] < 0 else heads[head]
                one, two = _root(parent, int(heads[head])), _root(parent, place)
                parent[max(one, two)] = min(one, two)
    roots = np.array([_root(parent, index) for index in range(len(parent))], np.int64)
    order = np.argsort(roots, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(roots[order])) + 1) if len(order) else ()


def _groups(near: NDArray[np.bool_]) -> Labels:
    """The connected component of each row and then of each column of pairs `[R,C]`."""
    rows, columns = np.nonzero(near)
    size = sum(near.shape)
    pairs = coo_array((np.ones(len(rows), bool), (rows, columns + near.shape[0])), (size, size))
    return np.asarray(connected_components(pairs, directed=False)[1], np.int64)


def _root(parent: Labels, index: int) -> int:
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = int(parent[index])
    return index


def _average_linkage(vectors: Values, same: float) -> Labels:
    """Index of the first member of the cluster of each vector `[n]`."""
    means = np.array(vectors, np.float64)
    counts = np.ones(len(means), np.int64)
    first = np.arange(len(means))
    open_ = np.ones(len(means), bool)
    chain: list[int] = []
    while open_.any():
        if not chain:
            chain.append(int(np.flatnonzero(open_)[0]))
        top = chain[-1]
        cosine = np.where(open_, means @ means[top], -np.inf)
        cosine[top] = -np.inf
        nearest = int(cosine.argmax())
        if cosine[nearest] < same:
            open_[top] = False
            chain.pop()
        elif len(chain) > 1 and cosine[chain[-2]] >= cosine[nearest]:
            one, two = sorted(chain[-2:])
            del chain[-2:]
            joined = counts[one] + counts[two]
            means[one] = (counts[one] * means[one] + counts[two] * means[two]) / joined
            counts[one] = joined
            open_[two] = False
            first[first == two] = one
        else:
            chain.append(nearest)
    return first
