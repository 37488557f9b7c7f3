"""Lineage: what a result was made from, and whether it is already there.

A result is named by the hash of (config, data digests, base digest, code version). The name stands
in the manifest of the result's folder, so that a step that runs twice finds its own work.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from umo import config, files
from umo.errors import DiffersError, NotFoundError

IDENTITY = "identity"


@functools.cache
def code_version() -> str:
    """sha256 over the names and bytes of the installed `umo` sources and asset manifests."""
    root = Path(__file__).parent
    sources = [*root.rglob("*.py"), *root.glob(f"assets/**/{files.MANIFEST}")]
    return config.digest(
        {str(path.relative_to(root)): files.sha256(path) for path in sorted(sources)}
    )


def identity(settings: Any, *, data: Mapping[str, str] | None = None, base: str = "") -> str:
    """Name the result of `settings` on these inputs under the installed code.

    Args:
        settings: A config dataclass or plain JSON values.
        data: Digest of each input folder, by role.
        base: Digest of the base weights.

    Returns:
        A sha256 hex digest.
    """
    return config.digest(
        {
            "config": config.digest(settings),
            "data": dict(data or {}),
            "base": base,
            "code": code_version(),
        }
    )


def expect(folder: Path, digest: str) -> None:
    """Check that `folder` still holds what an earlier step left there.

    Raises:
        NotFoundError: It has no manifest.
        DiffersError: It holds something else.
    """
    found = files.read_manifest(folder)["digest"]
    if found != digest:
        raise DiffersError(
            f"{folder} has digest {found}, this step was promised {digest}", hint="run it again"
        )


def finished(folder: Path, name: str) -> dict[str, Any] | None:
    """The manifest of `folder` if it holds the result `name` and every file verifies."""
    try:
        manifest = files.read_manifest(folder)
        if manifest.get(IDENTITY) == name:
            return files.read_manifest(folder, verify=True)
    except (NotFoundError, DiffersError, ValueError):
        pass
    return None


def seal(folder: Path, name: str) -> str:
    """Close `folder` as the result `name`, keeping the facts its manifest already holds.

    Returns:
        The manifest's digest.
    """
    kept = files.read_manifest(folder) if (folder / files.MANIFEST).is_file() else {}
    return files.write_manifest(folder, {**kept, **facts(name)})


def facts(name: str) -> dict[str, str]:
    """What a manifest says of the result `name`."""
    return {IDENTITY: name, "code": code_version()}
