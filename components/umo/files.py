"""Files: atomic writes, sha256 digests and the manifest that stands beside every artefact."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from umo.errors import DiffersError, NotFoundError, UmoError

MANIFEST = "manifest.json"


def sha256(path: Path) -> str:
    """sha256 hex digest of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed to `path`.

    Raises:
        UmoError: The file could not be written (a full disk, a read-only folder); `path` is as it
            was before.
    """
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(descriptor)
        staged = Path(name)
        try:
            yield staged
            sync(staged)
            staged.chmod(0o644)
            staged.replace(path)
        finally:
            staged.unlink(missing_ok=True)


def remove_staged(folder: Path) -> None:
    """Delete the files that killed writers left in a folder.

    They are those of `atomic_path`, and `.tmp*`, in which safetensors stages what it saves.
    """
    for left in (*folder.glob(".*.*.*"), *folder.glob(".tmp*")):
        left.unlink()


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it is synced and replaces `path`.

    Raises:
        UmoError: It could not be written; `path` is as it was before.
    """
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        staged.chmod(0o755)
        try:
            yield staged
            for file in staged.rglob("*"):
                if file.is_file():
                    sync(file)
            if path.exists():
                old = staged.with_name(staged.name + ".old")
                path.rename(old)
                staged.rename(path)
                shutil.rmtree(old)
            else:
                staged.rename(path)
        finally:
            shutil.rmtree(staged, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic_path(path) as staged:
        staged.write_text(text, encoding="utf-8")


def write_manifest(folder: Path, facts: Mapping[str, Any]) -> str:
    """Write `manifest.json`: `facts` and the sha256 of every other file below `folder`.

    Returns:
        The manifest's digest: sha256 of the files' names and digests, so of the content only.
    """
    files = {
        path.relative_to(folder).as_posix(): sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    write_text(folder / MANIFEST, manifest_text(files, facts))
    return _digest(files)


def manifest_text(files: Mapping[str, str], facts: Mapping[str, Any]) -> str:
    """The text of a manifest of `files`, sha256 by name, that says `facts`."""
    manifest = {**facts, "digest": _digest(files), "files": dict(files)}
    return json.dumps(manifest, indent=1, sort_keys=True) + "\n"


def read_manifest(folder: Path, *, verify: bool = False) -> dict[str, Any]:
    """Read a folder's manifest.

    Args:
        folder: A folder that `write_manifest` closed.
        verify: Whether to hash every file again.

    Raises:
        NotFoundError: There is no manifest.
        DiffersError: It is not one that `write_manifest` wrote, or a file is missing or its bytes
            are not those that were written.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise NotFoundError(f"{folder} has no {MANIFEST}", hint="name a folder that umo wrote")
    manifest = parse_manifest(path.read_text(encoding="utf-8"), str(path))
    files: dict[str, str] = manifest["files"]
    if verify:
        for name, digest in files.items():
            file = folder / name
            measured = sha256(file) if file.is_file() else "missing"
            if measured != digest:
                raise DiffersError(f"{file} has sha256 {measured}, its manifest says {digest}")
    return manifest


def parse_manifest(text: str, name: str) -> dict[str, Any]:
    """The facts of a manifest's text.

    Args:
        text: What `manifest_text` gave.
        name: What to call the manifest in an error.

    Raises:
        DiffersError: It is not one that `write_manifest` wrote.
    """
    try:
        manifest: dict[str, Any] = json.loads(text)
        files: dict[str, str] = manifest["files"]
        expected = manifest["digest"]
    except (ValueError, KeyError, TypeError) as error:
        raise DiffersError(
            f"{name} is not a manifest: {error!r}", hint="name a folder that umo wrote"
        ) from error
    if _digest(files) != expected:
        raise DiffersError(f"{name} says digest {expected}, its files give {_digest(files)}")
    return manifest


def _digest(files: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def sync(path: Path) -> None:
    """Have the disk hold what was written to a file or folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def exclusive(path: Path, refusal: UmoError | None) -> Iterator[IO[str]]:
    """Hold the lock file at `path`, made if it is not there; the kernel frees it if we are killed.

    Args:
        path: The lock file, open inside the block.
        refusal: What to raise where somebody else holds it; None waits instead.
    """
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if refusal else 0))
        except BlockingIOError as error:
            raise refusal or error from None
        yield file


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Say in one line that `path` could not be written.

    Raises:
        UmoError: The body raised an OSError.
    """
    try:
        yield
    except OSError as error:
        hint = "free space there" if error.errno == errno.ENOSPC else ""
        raise UmoError(f"cannot write {path}: {error}", hint=hint) from error
