"""Seal a base that was downloaded: its manifest says what it is and the sha256 of every file."""

from pathlib import Path
from typing import Any

from umo import pickles
from umo.errors import NotFoundError, UsageError
from umo.files import MANIFEST, read_manifest, write_manifest

INDEX = "model_index.json"


def seal(folder: Path, *, name: str, licence: str, source: str = "") -> dict[str, Any]:
    """Write the manifest of a diffusers folder, from which `load_base` then reads it.

    Args:
        folder: With `model_index.json` and a folder for each component.
        name: What to call the base.
        licence: Its licence, which goes with everything that is tuned on it.
        source: Where it came from.

    Returns:
        `name`, `digest` (sha256 over all files) and `files`, their number.

    Raises:
        NotFoundError: The folder is no diffusers folder.
        UsageError: A file is or may hold a pickle, or the folder is sealed already.
        UmoError: The manifest could not be written.
    """
    if not (folder / INDEX).is_file():
        raise NotFoundError(f"{folder} has no {INDEX}", hint="name a diffusers folder")
    if (folder / MANIFEST).exists():
        sealed = read_manifest(folder)
        raise UsageError(
            f"{folder} is sealed already, as {sealed.get('name')}",
            hint=f"remove its {MANIFEST} to seal it again",
        )
    for file in sorted(folder.rglob("*")):
        if file.is_file() and (danger := pickles.danger(file)):
            raise UsageError(
                f"{file.relative_to(folder)} {danger}", hint="keep the safetensors files alone"
            )
    facts = {"kind": "base", "name": name, "licence": licence, "source": source}
    digest = write_manifest(folder, facts)
    return {"name": name, "digest": digest, "files": len(read_manifest(folder)["files"])}
