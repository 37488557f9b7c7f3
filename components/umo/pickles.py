"""Files that may run code when they are read, and how to read their tensors without running it."""

import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from umo.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = frozenset(
    {".bin", ".ckpt", ".dill", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth"}
)
STARTS = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
PARALLEL = "module."
"""What training on several GPUs puts before every name."""


def danger(path: Path) -> str:
    """Why a file is, or may hold, a pickle, by its name and its bytes; nothing if it cannot."""
    if path.suffix.lower() in SUFFIXES:
        return "may hold a pickle"
    with path.open("rb") as stream:
        if stream.read(2).startswith(STARTS):
            return "starts as a pickle"
        if zipfile.is_zipfile(stream):
            return "is a zip archive, which may hold a pickle"
    return ""


def read_tensors(path: Path) -> "dict[str, Tensor]":
    """The tensors of a checkpoint of torch, by torch's own reader that builds nothing else.

    Only the commands that convert a file read one; whatever is loaded to work is safetensors.

    Args:
        path: A state dict, or one under the key `state_dict`.

    Raises:
        NotFoundError: There is no such file.
        UsageError: It is damaged, asks to run code, or is no state dict.
    """
    import torch

    if not path.is_file():
        raise NotFoundError(f"no file at {path}")
    try:
        stored: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise UsageError(
            f"{path} is no checkpoint of tensors alone: {str(error).splitlines()[0]}",
            hint="it is damaged, or would run code when it is read",
        ) from error
    if isinstance(stored, dict) and isinstance(stored.get("state_dict"), dict):
        stored = stored["state_dict"]
    if not isinstance(stored, dict) or not all(torch.is_tensor(v) for v in stored.values()):
        raise UsageError(f"{path} holds no state dict", hint="name a file of weights")
    return {str(name).removeprefix(PARALLEL): value for name, value in stored.items()}
