"""Deletion of an identity: from datasets, and from all that was made from them and still shows it.

A sample shows its people together, so every sample with the identity goes, with its pictures, boxes
and embeddings. Datasets are rewritten and swapped in whole; their manifest then proves it under
`forgotten`: sha256 of the id, digest and number of samples before, number after.

Whatever else lies in the named folders and was made from such a dataset (its manifest says
`dataset`, or `lineage`) is removed: encoded datasets, evaluations, galleries. So is the work folder
that the dataset was harvested in, and what holds the id, the person's pictures or embeddings byte
for byte. Models that were tuned on the person are named, not removed. Nothing else may write to the
folders meanwhile. A killed run is run again.
"""

import base64
import itertools
import mmap
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from umo.data.collect import FORGOTTEN, Place, hashed
from umo.data.location import S3, staged
from umo.data.rows import Row
from umo.data.shards import KIND, Dataset, fill
from umo.errors import DiffersError, NotFoundError, UmoError, UsageError
from umo.files import MANIFEST, manifest_text, read_manifest, write_text

LEFTOVER = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}(?P<old>\.old)?")
"""Names that `umo.files` gives to what it has not finished, beside what that is to replace."""
WORK = "work"
"""Says in a dataset's manifest what the folder is called that keeps the faces it was made from."""
MODELS = ("lora", "base")
SHORTEST = 8
"""Bytes of an id that can be told from chance in a file that is no text."""


@dataclass(frozen=True, kw_only=True)
class Deletion:
    """What became of one folder or file."""

    place: str
    done: str


@dataclass(kw_only=True)
class Traces:
    """What must not be found any more."""

    identity: str
    digests: set[str] = field(default_factory=set)
    """Of datasets that held the identity."""
    works: set[str] = field(default_factory=set)
    """Names of the work folders that these were made in."""
    content: set[bytes] = field(default_factory=set)
    """Pictures and embeddings of the person."""

    def add(self, row: Row) -> None:
        """Take in a sample of the person."""
        place = row["identities"].index(self.identity)
        views = row["views"][place] if row["views"] else []
        pictures = [row["target"], row["references"][place], *views]
        self.content.update(pictures)
        self.content.update(map(base64.b64encode, pictures))
        if row["embeddings"] is not None:
            self.content.add(np.array(row["embeddings"][place], np.float32).tobytes())

    def said(self, content: "bytes | mmap.mmap") -> bool:
        """Whether the id stands there as a word."""
        word = rb"(?<!\w)" + re.escape(self.identity.encode()) + rb"(?!\w)"
        return re.search(word, content) is not None

    def shown(self, content: mmap.mmap) -> bool:
        """Whether a picture or an embedding of the person is there."""
        return any(content.find(trace) >= 0 for trace in self.content)

    def within(self, file: Path) -> bool:
        """Whether a file or its name holds any."""
        if self.said(file.name.encode()):
            return True
        if not file.stat().st_size:
            return False
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ) as text:
            readable = text.find(b"\0", 0, 8192) < 0 or len(self.identity) >= SHORTEST
            return (readable and self.said(text)) or self.shown(text)


def forget(identity: str, places: Sequence[Place]) -> list[Deletion]:
    """Delete an identity from everything in some places.

    Args:
        identity: Its id.
        places: Folders, with all that lies in them, and datasets on S3.

    Returns:
        What was done; nothing if nothing held the identity.

    Raises:
        NotFoundError: A folder is not there.
        UmoError: Something could not be rewritten or removed; the same call goes on with it.
    """
    if not identity:
        raise UsageError("no identity is given", hint="name one, as `umo data show` prints them")
    remote = [str(place) for place in places if str(place).startswith(S3)]
    roots = [Path(place) for place in places if not str(place).startswith(S3)]
    for root in roots:
        _recover(root)
        if not root.is_dir():
            raise NotFoundError(f"no folder {root}")
    found = [Dataset(folder) for root in roots for folder in _sealed(root, KIND)]
    found += [Dataset(place) for place in remote]
    traces = Traces(identity=identity)
    holding = [dataset for dataset in found if _holds(dataset, traces)]
    for dataset in found:
        proofs = dataset.manifest.get(FORGOTTEN, [])
        proven = [p["before"]["digest"] for p in proofs if p["identity"] == hashed(identity)]
        traces.digests.update(proven)
        if WORK in dataset.manifest and (proven or dataset in holding):
            traces.works.add(dataset.manifest[WORK])
    done = [deletion for root in roots for deletion in _works(root, traces)]
    done += [deletion for root in roots for deletion in _derived(root, traces)]
    done += [deletion for root in roots for deletion in _rest(root, traces)]
    done += [_rewrite(dataset, traces) for dataset in holding]
    for dataset in found:
        _check_left(dataset.folder, traces)
    return done


def _recover(root: Path) -> None:
    """Bring back or remove what killed processes left, in `root` and beside it.

    Raises:
        UmoError: It cannot be removed.
    """
    hidden = [*root.absolute().parent.glob(f".{root.name}.*"), *root.rglob(".*")]
    for left in sorted(hidden, key=lambda path: path.suffix != ".old"):
        match = LEFTOVER.fullmatch(left.name)
        if match is None or not left.exists():
            continue
        whole = left.with_name(match["name"])
        if whole.exists():
            _remove(left)
        elif match["old"]:
            left.rename(whole)


def _sealed(root: Path, kind: str) -> Iterator[Path]:
    """Folders in `root`, or it, with a manifest of a kind."""
    for path in sorted(root.rglob(MANIFEST)):
        if _facts(path.parent).get("kind") == kind:
            yield path.parent


def _facts(folder: Path) -> dict[str, Any]:
    """What a folder's manifest says; nothing if there is none, or one of somebody else."""
    try:
        return read_manifest(folder)
    except (NotFoundError, DiffersError):
        return {}


def _holds(dataset: Dataset, traces: Traces) -> bool:
    held = False
    if any(traces.identity in people for people in dataset.column("identities")):
        for row in dataset.rows():
            if traces.identity in row["identities"]:
                traces.add(row)
                held = True
    if held:
        traces.digests.add(dataset.digest)
    return held


def _works(root: Path, traces: Traces) -> Iterator[Deletion]:
    for path in sorted(root.rglob("*")):
        if path.name in traces.works and path.is_dir():
            _remove(path)
            yield Deletion(place=str(path), done="removed")


def _derived(root: Path, traces: Traces) -> Iterator[Deletion]:
    for path in sorted(root.rglob(MANIFEST)):
        if not path.exists():
            continue
        facts = _facts(path.parent)
        made_from = {facts.get("dataset"), _of(facts.get("lineage"), "dataset", "digest")}
        if facts.get("kind") in MODELS and facts.get("data") in traces.digests:
            yield Deletion(place=str(path.parent), done="was tuned on it: tune again without")
        elif facts.get("kind") != KIND and made_from & traces.digests:
            _remove(path.parent)
            yield Deletion(place=str(path.parent), done="removed")


def _of(facts: Any, *names: str) -> Any:
    for name in names:
        facts = facts.get(name) if isinstance(facts, dict) else None
    return facts


def _rewrite(dataset: Dataset, traces: Traces) -> Deletion:
    before = {"digest": dataset.digest, "samples": len(dataset)}
    kept = (row for row in dataset.rows() if traces.identity not in row["identities"])
    with staged(dataset.folder) as new:
        fill(new, kept, _scrubbed(dataset.manifest, traces))
        written = read_manifest(new)
        proof = {
            "identity": hashed(traces.identity),
            "before": before,
            "after": {"digest": written["digest"], "samples": written["samples"]},
        }
        written[FORGOTTEN] = [*written.get(FORGOTTEN, []), proof]
        write_text(new / MANIFEST, manifest_text(written["files"], written))
    gone = before["samples"] - written["samples"]
    return Deletion(
        place=str(dataset.folder), done=f"{gone} of {before['samples']} samples removed"
    )


def _scrubbed(value: Any, traces: Traces) -> Any:
    """Facts without the entries that say the id."""
    if isinstance(value, dict):
        return {
            name: _scrubbed(inner, traces)
            for name, inner in value.items()
            if not traces.said(name.encode())
            and not (isinstance(inner, str) and traces.said(inner.encode()))
        }
    if isinstance(value, list):
        return [
            _scrubbed(inner, traces)
            for inner in value
            if not (isinstance(inner, str) and traces.said(inner.encode()))
        ]
    return value


def _rest(root: Path, traces: Traces) -> Iterator[Deletion]:
    """Remove every other file that holds a trace, with the sealed folder it belongs to."""
    for file in _files(root):
        if not file.exists() or not traces.within(file):
            continue
        folders = (folder for folder in file.parents if folder.is_relative_to(root))
        owner = next((folder for folder in folders if _facts(folder)), file)
        if owner == file or _facts(owner)["kind"] != KIND:
            _remove(owner)
            yield Deletion(place=str(owner), done="removed")


def _check_left(folder: Place, traces: Traces) -> None:
    """Look at every sample that is left for the person's id, pictures and embeddings.

    Raises:
        UmoError: A sample still has one.
    """
    for row in Dataset(folder).rows():
        texts = (row["key"], row["prompt"], row["source"], row["licence"], row["consent"])
        pictures = {row["target"], *row["references"], *itertools.chain(*row["views"])}
        numbers = {np.array(each, np.float32).tobytes() for each in row["embeddings"] or ()}
        said = any(traces.said(text.encode()) for text in texts)
        if said or traces.identity in row["identities"] or (pictures | numbers) & traces.content:
            raise UmoError(
                f"sample {row['key']!r} of {folder} still says or shows {traces.identity!r}",
                hint="give that sample's people their own ids, pictures and key",
            )


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def _remove(path: Path) -> None:
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError as error:
        raise UmoError(
            f"cannot remove {path}: {error}", hint="run the same command again when it can be"
        ) from error
