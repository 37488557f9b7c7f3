"""Datasets made from datasets: merged, split by identity, and balanced by number of people.

Rows are copied as they are stored; no picture is decoded.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from umo.data.rows import Row
from umo.data.shards import FACE_PACK, Dataset, write_rows
from umo.errors import DeniedError, UsageError

FORGOTTEN = "forgotten"
"""The manifest's fact on identities that were deleted: see `umo.data.forget`."""
SPLITS = ("pretrain", "tune", "held-out")

Place = Path | str


def merge(sources: Sequence[Place], out: Place, *, mixed_licences: bool = False) -> str:
    """Write the samples of several datasets as one; `out` may be one of them, which then grows.

    Args:
        sources: In order.
        out: A folder, or `s3://bucket/prefix`; replaced if it exists.
        mixed_licences: Whether pictures of one source may have licences that another has not.

    Returns:
        The dataset's digest.

    Raises:
        UsageError: A key is in two of them, an identity in two splits, or their schema, face pack
            or licences differ.
        DeniedError: One holds an identity that was deleted from another.
    """
    datasets = [Dataset(source) for source in sources]
    _same("schema", [(d, d.version) for d in datasets], "merge it alone first, into a new folder")
    packs = [(d, d.manifest[FACE_PACK]["digest"]) for d in datasets if FACE_PACK in d.manifest]
    _same("face pack", packs, "merge only embeddings of one judge")
    if not mixed_licences:
        _same(
            "licences",
            [(d, ", ".join(sorted(set(d.column("licence"))))) for d in datasets],
            "give --mixed-licences if that is meant",
        )
    _check_keys(datasets)
    _check_people(datasets)
    facts: dict[str, Any] = {
        "merged": [{"digest": d.digest, "samples": len(d)} for d in datasets],
        **carried(*datasets),
    }
    return write_rows((row for dataset in datasets for row in dataset.rows()), out, facts)


def carried(*datasets: Dataset) -> dict[str, Any]:
    """The facts of datasets that hold for what is made from them."""
    facts: dict[str, Any] = {}
    for dataset in datasets:
        if FACE_PACK in dataset.manifest:
            facts[FACE_PACK] = dataset.manifest[FACE_PACK]
        for proof in dataset.manifest.get(FORGOTTEN, []):
            if proof not in facts.setdefault(FORGOTTEN, []):
                facts[FORGOTTEN].append(proof)
    return facts


def split(source: Place, out: Path, shares: Mapping[str, float], *, seed: int, cut: bool) -> None:
    """Deal the samples of a dataset to splits that share no identity.

    People who are in one picture go to one split, and so do all whom they are in pictures with.

    Args:
        source: A dataset.
        out: Gets a dataset for each split, by its name.
        shares: Share of the samples by split, adding up to 1.
        seed: Of the dealing.
        cut: Whether to deal people one by one instead, and leave out samples of people who went to
            different splits.

    Raises:
        UsageError: The shares are wrong, or a split gets no sample.
    """
    _check_shares(shares, SPLITS)
    dataset = Dataset(source)
    people = dataset.column("identities")
    groups = _apart(people) if cut else _together(people)
    weights = Counter(group for each in people for group in {groups[one] for one in each})
    places = _deal(weights, shares, seed)
    chosen = [{places[groups[identity]] for identity in identities} for identities in people]
    counts = Counter(next(iter(names)) for names in chosen if len(names) == 1)
    if empty := [name for name in shares if not counts[name]]:
        largest = max(weights.values())
        raise UsageError(
            f"the split {empty[0]!r} gets no sample: {largest} of {len(dataset)} samples hang "
            "together by the people in them",
            hint="give more samples or, to leave out those between splits, --cut",
        )
    for name in shares:
        facts = {
            "split_from": dataset.digest,
            "shares": dict(shares),
            "seed": seed,
            "left_out": sum(len(names) != 1 for names in chosen),
            **carried(dataset),
        }
        write_rows(_dealt(dataset, chosen, name), out / name, facts)


def balance(source: Place, out: Place, shares: Mapping[int, float], *, seed: int) -> str:
    """Keep as many samples of a dataset as have the given shares by number of people.

    Args:
        source: A dataset.
        out: A folder, or `s3://bucket/prefix`; replaced if it exists.
        shares: Share of the samples by number of people, adding up to 1.
        seed: Of the choice; kept samples stay in their order.

    Returns:
        The dataset's digest.

    Raises:
        UsageError: The shares are wrong, or there is no sample with a number of people.
    """
    dataset = Dataset(source)
    people = np.array(dataset.column("people"))
    _check_shares(shares, sorted(set(people.tolist())))
    total = min((people == count).sum() / share for count, share in shares.items())
    generator = np.random.default_rng(seed)
    keep = np.zeros(len(people), bool)
    for count in sorted(shares):
        rows = np.flatnonzero(people == count)
        keep[generator.permutation(rows)[: round(total * shares[count])]] = True
    facts = {
        "balanced_from": dataset.digest,
        "shares": {str(count): shares[count] for count in sorted(shares)},
        "seed": seed,
        **carried(dataset),
    }
    kept = (row for row, wanted in zip(dataset.rows(), keep, strict=True) if wanted)
    return write_rows(kept, out, facts)


def hashed(identity: str) -> str:
    """What a manifest says instead of a deleted identity's id."""
    return hashlib.sha256(identity.encode()).hexdigest()


def _same(what: str, values: Sequence[tuple[Dataset, Any]], hint: str) -> None:
    for dataset, value in values[1:]:
        if value != values[0][1]:
            raise UsageError(
                f"{values[0][0].folder} has {what} {values[0][1]}, {dataset.folder} has {value}",
                hint=hint,
            )


def _check_keys(datasets: Sequence[Dataset]) -> None:
    owner: dict[str, Dataset] = {}
    for dataset in datasets:
        for key in dataset.column("key"):
            if key in owner:
                raise UsageError(
                    f"the key {key!r} is in {owner[key].folder} and in {dataset.folder}",
                    hint="merge each sample once",
                )
            owner[key] = dataset


def _check_people(datasets: Sequence[Dataset]) -> None:
    deleted = {
        proof["identity"]: dataset
        for dataset in datasets
        for proof in dataset.manifest.get(FORGOTTEN, [])
    }
    splits: dict[str, str] = {}
    for dataset in datasets:
        columns = zip(dataset.column("identities"), dataset.column("split"), strict=True)
        for identity, name in ((each, name) for people, name in columns for each in people):
            if splits.setdefault(identity, name) != name:
                raise UsageError(
                    f"{dataset.folder} has identity {identity!r} in {name}, which is in "
                    f"{splits[identity]} too",
                    hint="no identity may be in two splits: `umo data split` deals them",
                )
            if hashed(identity) in deleted:
                raise DeniedError(
                    f"{dataset.folder} holds identity {identity!r}, which was deleted from "
                    f"{deleted[hashed(identity)].folder}",
                    hint=f"run `umo data forget {identity} {dataset.folder}` first",
                )


def _check_shares(shares: Mapping[Any, float], allowed: Sequence[Any]) -> None:
    for name, share in shares.items():
        if name not in allowed:
            raise UsageError(f"no {name!r} here", hint=f"there are {', '.join(map(str, allowed))}")
        if not 0 < share <= 1:
            raise UsageError(f"the share of {name} is {share}", hint="give one above 0, up to 1")
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise UsageError(f"the shares add up to {sum(shares.values()):g}, they must to 1")


def _apart(people: Sequence[Sequence[str]]) -> dict[str, str]:
    return {identity: identity for identities in people for identity in identities}


def _together(people: Sequence[Sequence[str]]) -> dict[str, str]:
    """For each identity, one of those it hangs together with, the same for all of them."""
    parent = _apart(people)

    def root(identity: str) -> str:
        while parent[identity] != identity:
            parent[identity] = parent[parent[identity]]
            identity = parent[identity]
        return identity

    for first, other in (pair for identities in people for pair in pairwise(identities)):
        a, b = sorted((root(first), root(other)))
        parent[b] = a
    return {identity: root(identity) for identity in parent}


def _deal(weights: Mapping[str, int], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """The split of each group: in an order that the seed fixes, to whom most is still due."""
    order = sorted(weights, key=lambda group: hashed(f"{seed}/{group}"))
    total = sum(weights.values())
    have: dict[str, float] = defaultdict(float)
    places = {}
    for group in order:
        name = max(shares, key=lambda name: shares[name] - have[name] / total)
        places[group] = name
        have[name] += weights[group]
    return places


def _dealt(dataset: Dataset, chosen: Sequence[set[str]], name: str) -> Iterator[Row]:
    for row, names in zip(dataset.rows(), chosen, strict=True):
        if names == {name}:
            yield {**row, "split": name}
