"""Files that may run code when they are read."""

import zipfile
from pathlib import Path

SUFFIXES = frozenset(
    {".bin", ".ckpt", ".dill", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth"}
)
STARTS = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))


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
