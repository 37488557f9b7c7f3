"""Evidence: everything that the gates judge, read from the plain folders of a run.

The shares of reward hacking are on one scale for both embedders: what of the way from base to the
held-out pictures themselves (the ceiling) the candidate has gone in ID-Sim,

    closed = (candidate - base) / (ceiling - base).
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from umo import pickles
from umo.data.shards import Dataset
from umo.errors import DiffersError
from umo.evaluation.metrics import Interval, mean
from umo.files import MANIFEST, read_manifest
from umo.review.compare import BASE, CANDIDATE, CHAMPION, EMBEDDERS, Comparison, Subject, compare

ASSETS = Path(str(package_files("umo") / "assets"))
IDENTITY = ("id_sim", "id_conf")
MEASURES = ("prompt_following", "picture_quality")
"""What an evaluation may measure of a picture beside its faces."""
RECORD = ("identities", "licence", "consent", "source")
"""Columns of a dataset that say whose pictures they are."""


@dataclass(frozen=True, kw_only=True)
class Licensed:
    """Something with licences."""

    name: str
    digest: str
    licences: Mapping[str, str]
    """Licence of each part; empty if none is recorded."""
    commercial: bool | None = None
    """Whether its own manifest says that every part allows commercial use, if it says so."""


@dataclass(frozen=True, kw_only=True)
class DataRecord:
    """Whose pictures a LoRA was tuned on."""

    digest: str
    samples: int
    licences: Mapping[str, int]
    """Samples of each licence; an empty licence is one that is not recorded."""
    sources: Mapping[str, int]
    """Samples of each source."""
    consents: Mapping[str, frozenset[str]]
    """Identities by what is recorded of their consent, empty if nothing is."""

    @property
    def identities(self) -> frozenset[str]:
        """Everybody in it."""
        return frozenset().union(*self.consents.values())


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of a candidate. Gains are in points of scores x 100, 95 % paired intervals."""

    weights: str
    """Digest of the candidate's weights."""
    items: int
    """Held-out items."""
    people: frozenset[str]
    """Identities it was judged on."""
    scores: Mapping[str, Mapping[str, float]]
    """By role and metric (`id_sim`, `id_conf`), by the judge."""
    gain: Mapping[str, Interval]
    """Candidate minus base by the judge, by metric."""
    reward_gain: Interval
    """Candidate minus base in ID-Sim by the embedder that training saw."""
    closed: Mapping[str, float | None]
    """Share of the way to the ceiling, by embedder; None where base is at it already."""
    faces: Mapping[str, int]
    """Faces found by role, and how many were `expected`."""
    measures: Mapping[str, Interval | None]
    """Candidate minus base in prompt following and picture quality; None if not measured."""
    champion_gain: Interval | None
    """Candidate minus champion in ID-Sim by the judge; None if they cannot be compared."""
    champion_note: str
    """Why not."""
    base: Licensed
    face_packs: tuple[Licensed, ...]
    """Of the tuning and, if it is another, of the judging."""
    data: DataRecord | None
    """Of the tuning; None if its folder was not given."""
    unsafe: tuple[str, ...]
    """Files of the version that are, or may hold, a pickle, or that no manifest lists; with why."""
    made: Mapping[str, Any]
    """The version's manifest without its files: config, seed, code, digests."""
    judged: Mapping[str, Any]
    """Settings and lineage of the evaluation."""


def gather(
    *,
    train: Path,
    evaluation: Path,
    data: Path | None = None,
    base: Path | None = None,
    champion: Subject | None = None,
) -> Evidence:
    """Read the evidence on the version in `train`.

    Args:
        train: The version's own files: weights, manifest.
        evaluation: Where it was judged.
        data: The dataset it was tuned on.
        base: Folder of its base; not needed for the embedded one.
        champion: What it would replace, if there is something.

    Raises:
        NotFoundError: A folder has no manifest.
        DiffersError: A file is not the one its manifest names, or the folders do not belong
            together.
    """
    manifest = read_manifest(train, verify=True)
    comparison = compare(_subject(train, manifest, evaluation), champion)
    lineage = comparison.summary["lineage"]
    made = {key: value for key, value in manifest.items() if key != "files"}
    _expect("base", manifest["base"]["digest"], lineage["base"]["digest"], evaluation)
    record = read_record(data) if data else None
    if record and data:
        _expect("data", manifest["data"], record.digest, data)
    return Evidence(
        weights=lineage["models"][comparison.labels[CANDIDATE]]["digest"],
        items=len(comparison.items),
        people=frozenset(who for item in comparison.items for who in item.identities),
        scores={
            role: {name: mean(comparison.values(role, name)) for name in IDENTITY}
            for role in comparison.roles
        },
        gain={name: comparison.gain(name) for name in IDENTITY},
        reward_gain=comparison.gain("id_sim", embedder="reward"),
        closed={name: _closed(comparison, name) for name in EMBEDDERS},
        faces={
            **{role: comparison.faces_found(role) for role in comparison.roles},
            "expected": sum(
                len(item.identities) * len(item.pictures[BASE]) for item in comparison.items
            ),
        },
        measures={name: comparison.measure_gain(name) for name in MEASURES},
        champion_gain=(
            comparison.gain("id_sim", over=CHAMPION) if CHAMPION in comparison.roles else None
        ),
        champion_note=comparison.note if champion else "there is no champion",
        base=_base(manifest["base"], base),
        face_packs=_face_packs(manifest["face_pack"], lineage["face_pack"]),
        data=record,
        unsafe=tuple(unsafe_files(train, manifest["files"])),
        made=made,
        judged={"config": comparison.summary["config"], "lineage": lineage},
    )


def read_record(folder: Path) -> DataRecord:
    """Who is in a dataset, by what licence and with what consent.

    Raises:
        NotFoundError: It has no manifest.
        DiffersError: A shard is not the one that its manifest names.
        UsageError: It is no dataset.
    """
    read_manifest(folder, verify=True)
    dataset = Dataset(folder)
    licences: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    consents: dict[str, set[str]] = defaultdict(set)
    for shard in sorted(dataset.manifest["files"]):
        for row in _record_rows(folder / shard):
            licences[row["licence"] or ""] += 1
            sources[row["source"] or ""] += 1
            consents[(row["consent"] or "").strip()].update(row["identities"] or [])
    return DataRecord(
        digest=dataset.digest,
        samples=len(dataset),
        licences=licences,
        sources=sources,
        consents={consent: frozenset(who) for consent, who in consents.items()},
    )


def unsafe_files(folder: Path, listed: Iterable[str]) -> list[str]:
    """Files below `folder` that could run code when read, or that its manifest does not list."""
    known = {MANIFEST, *listed}
    found = []
    for path in sorted(path for path in folder.rglob("*") if not path.is_dir()):
        name = path.relative_to(folder).as_posix()
        if reason := _danger(path):
            found.append(f"{name} {reason}")
        elif name not in known and not name.startswith(f"{MANIFEST.removesuffix('.json')}."):
            found.append(f"{name} is not in {MANIFEST}")
    return found


def _danger(path: Path) -> str:
    if path.is_symlink():
        return "is a link"
    if reason := pickles.danger(path):
        return reason
    if path.suffix == ".safetensors" and not _is_safetensors(path):
        return "has no safetensors header"
    return ""


def _is_safetensors(path: Path) -> bool:
    """Whether the file is as its header says: 8 bytes of length, JSON, then tensors to the end."""
    with path.open("rb") as stream:
        start = stream.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > path.stat().st_size - 8:
            return False
        try:
            header = json.loads(stream.read(length))
            ends = [
                entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"
            ]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return False
    return bool(8 + length + max(ends, default=0) == path.stat().st_size)


def _subject(train: Path, manifest: Mapping[str, Any], evaluation: Path) -> Subject:
    weights = {k: v for k, v in manifest["files"].items() if k.endswith(".safetensors")}
    if len(weights) != 1 or "base" not in manifest:
        raise DiffersError(
            f"{train} is no tuned model: it lists {len(weights)} *.safetensors",
            hint="name a folder that `umo train` wrote",
        )
    return Subject(name="candidate", weights=next(iter(weights.values())), evaluation=evaluation)


def _expect(what: str, promised: str, found: str, folder: Path) -> None:
    if promised != found:
        raise DiffersError(
            f"the version was tuned with {what} {promised}, {folder} has {found}",
            hint="name the folders of one run",
        )


def _closed(comparison: Comparison, embedder: str) -> float | None:
    base, candidate = (mean(comparison.values(r, "id_sim", embedder)) for r in (BASE, CANDIDATE))
    ceiling: float = comparison.summary["dataset"][embedder]["id_sim"]
    return (candidate - base) / (ceiling - base) if ceiling > base else None


def _base(fact: Mapping[str, str], folder: Path | None) -> Licensed:
    manifest = read_manifest(folder or ASSETS / "embedded")
    if manifest["digest"] != fact["digest"]:
        if folder:
            _expect("base", fact["digest"], manifest["digest"], folder)
        return Licensed(name=fact["name"], digest=fact["digest"], licences={})
    licence = manifest.get("licence", "")
    return Licensed(
        name=fact["name"], digest=fact["digest"], licences={"weights": licence} if licence else {}
    )


def _face_packs(tuned: Mapping[str, Any], judged: Mapping[str, Any]) -> tuple[Licensed, ...]:
    """The pack of the tuning and that of the judging; the shipped one is known by its digest."""
    shipped = read_manifest(ASSETS / "faces")
    known = {pack["digest"]: pack for pack in (judged, shipped)}
    named = {pack["digest"]: pack["name"] for pack in (judged, tuned)}
    return tuple(
        Licensed(
            name=name,
            digest=digest,
            licences=known.get(digest, {}).get("licences", {}),
            commercial=known.get(digest, {}).get("commercial"),
        )
        for digest, name in reversed(named.items())
    )


def _record_rows(shard: Path) -> list[dict[str, Any]]:
    file = pq.ParquetFile(shard)
    names = [name for name in RECORD if name in file.schema_arrow.names]
    rows = file.read(columns=names, use_threads=False).to_pylist()
    return [dict.fromkeys(RECORD) | row for row in rows]
