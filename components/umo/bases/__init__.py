"""Customization models that ReReFL tunes."""

import json
from pathlib import Path
from typing import Any

import torch

from umo.bases.protocol import ReferenceModel
from umo.errors import NotFoundError, UsageError
from umo.files import MANIFEST

EMBEDDED = Path(__file__).parents[1] / "assets" / "embedded"


def load_base(name: str = "embedded", *, dtype: torch.dtype = torch.float32) -> ReferenceModel:
    """The base of a name: `embedded`, or a sealed diffusers folder of FLUX, FLUX.2 or OmniGen2.

    Args:
        name: `embedded`, or the folder.
        dtype: Of the transformer's weights.

    Raises:
        NotFoundError: The folder is no base.
        UsageError: A part of it cannot be read.
        DiffersError: A file is not the one that its manifest names.
    """
    folder = folder_of(name)
    index = _index(folder)
    pipeline = str(index["_class_name"])
    if not (folder / MANIFEST).is_file():
        raise NotFoundError(f"{folder} has no {MANIFEST}", hint="seal it first: `umo bases seal`")
    if pipeline.startswith("OmniGen2"):
        from umo.bases.omnigen2 import OmniGen2

        return OmniGen2.load(folder, dtype=dtype)
    if pipeline.startswith("Flux2"):
        from umo.bases.flux2 import Flux2Reference

        return Flux2Reference.load(folder, dtype=dtype)
    if index.get("vae") == ["diffusers", "AutoencoderDC"]:
        from umo.bases.embedded import Embedded

        return Embedded.load(folder, dtype=dtype)
    from umo.bases.flux_reference import FluxReference

    return FluxReference.load(folder, dtype=dtype)


def folder_of(name: str) -> Path:
    """Where the base of a name lies."""
    return EMBEDDED if name == "embedded" else Path(name)


def _index(folder: Path) -> dict[str, Any]:
    """What a diffusers folder says of itself: its pipeline and the class of each part."""
    index = folder / "model_index.json"
    if not index.is_file():
        raise NotFoundError(
            f"{folder} is no base: it has no {index.name}",
            hint="name a diffusers folder, or `embedded`",
        )
    try:
        parts: dict[str, Any] = json.loads(index.read_text(encoding="utf-8"))
        parts["_class_name"]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{index} names no _class_name: {error!r}") from error
    return parts
