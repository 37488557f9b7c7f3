"""Customization models that ReReFL tunes."""

from pathlib import Path

from umo.bases.protocol import ReferenceModel

EMBEDDED = Path(__file__).parents[1] / "assets" / "embedded"


def load_base(name: str = "embedded") -> ReferenceModel:
    """The base of a name: `embedded`, or the path of a diffusers folder.

    Raises:
        NotFoundError: The folder is no base.
        UsageError: A part of it cannot be read.
        DiffersError: A file is not the one that its manifest names.
    """
    from umo.bases.flux_reference import FluxReference

    return FluxReference.load(folder_of(name))


def folder_of(name: str) -> Path:
    """Where the base of a name lies."""
    return EMBEDDED if name == "embedded" else Path(name)
