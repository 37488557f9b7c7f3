"""Customization models that ReReFL tunes."""

import json
from pathlib import Path

from umo.bases.protocol import ReferenceModel
from umo.errors import NotFoundError, UsageError
from umo.files import MANIFEST

EMBEDDED = Path(__file__).parents[1] / "assets" / "embedded"


def load_base(name: str = "embedded") -> ReferenceModel:
    """The base of a name: `embedded`, or a sealed diffusers folder of FLUX, FLUX.2 or OmniGen2.

    Raises:
        NotFoundError: The folder is no base.
        UsageError: A part of it cannot be read.
        DiffersError: A file is not the one that its manifest names.
    """
    folder = folder_of(name)
    pipeline = _pipeline_of(folder)
    if not (folder / MANIFEST).is_file():
        raise NotFoundError(f"{folder} has no {MANIFEST}", hint="seal it first: `umo bases seal`")
    if pipeline.startswith("OmniGen2"):
        from umo.bases.omnigen2 import OmniGen2

        return OmniGen2.load(folder)
    if pipeline.startswith("Flux2"):
        from umo.bases.flux2 import Flux2Reference

        return Flux2Reference.load(folder)
    from umo.bases.flux_reference import FluxReference

    return FluxReference.load(folder)


def folder_of(name: str) -> Path:
    """Where the base of a name lies."""
    return EMBEDDED if name == "embedded" else Path(name)


def _pipeline_of(folder: Path) -> str:
    """The pipeline that a diffusers folder is of."""
    index = folder / "model_index.json"
    if not index.is_file():
        raise NotFoundError(
            f"{folder} is no base: it has no {index.name}",
            hint="name a diffusers folder, or `embedded`",
        )
    try:
        return str(json.loads(index.read_text(encoding="utf-8"))["_class_name"])
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{index} names no _class_name: {error!r}") from error
