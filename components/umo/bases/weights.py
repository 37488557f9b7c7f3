"""Tuned weights of a base in a file: a LoRA on it, or its whole transformer."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from umo.bases.protocol import ReferenceModel
from umo.errors import DiffersError
from umo.formats import lora as formats
from umo.keys import differences

LORA = "lora.safetensors"
FULL = "transformer.safetensors"


def tuned_file(folder: Path) -> Path:
    """The file of tuned weights in a folder that `umo train` wrote."""
    full = folder / FULL
    return full if full.is_file() else folder / LORA


def save_full(base: ReferenceModel, path: Path) -> None:
    """Write the transformer's whole state as a safetensors file, atomically."""
    formats.write(path, base.transformer.state_dict())


@contextmanager
def tuned(base: ReferenceModel, path: Path | None) -> Iterator[None]:
    """Inside the block the base paints with tuned weights, afterwards again with its own.

    Args:
        base: Without LoRA.
        path: A file named `transformer.safetensors`, or of a LoRA; None changes nothing.

    Raises:
        NotFoundError: There is no such file.
        UsageError: It is no safetensors file.
        DiffersError: A key is missing, unexpected or of another shape; it names the keys.
    """
    if path is not None and path.name == FULL:
        own = {key: tensor.clone() for key, tensor in base.transformer.state_dict().items()}
        theirs = formats.read(path)
        shapes = ({k: tuple(t.shape) for k, t in state.items()} for state in (own, theirs))
        if problems := differences(*shapes):
            raise DiffersError(f"{path} does not fit {base.name}: {problems}")
        base.transformer.load_state_dict(theirs)
        try:
            yield
        finally:
            base.transformer.load_state_dict(own)
        return
    try:
        if path is not None:
            base.load_lora(path)
        yield
    finally:
        base.without_lora()
