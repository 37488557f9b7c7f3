"""Makes a folder for the packs `umo` and `xverse` of the public checkpoints of their networks."""

from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from umo.errors import NotFoundError, UsageError
from umo.faces.published import COUNTER, NETWORKS, Published, check
from umo.files import atomic_folder, sha256, write_manifest
from umo.pickles import read_tensors


def convert(originals: Path, target: Path) -> list[dict[str, Any]]:
    """Write each public checkpoint found in a folder as safetensors, with a manifest.

    Nothing in a checkpoint is run; its keys and shapes must be those of the network, and no tensor
    changes. The counters of batch normalisation, which only training needs, are left out.

    Args:
        originals: Folder of the `.pth` files, see `umo.faces.published.NETWORKS`.
        target: Folder to write; replaced if it exists.

    Returns:
        For each network `role`, `file`, `parameters`, `original` and `licence`.

    Raises:
        NotFoundError: The folder is missing or holds none of the checkpoints.
        UsageError: A file is no state dict, or asks to run code; or both folders are the same.
        DiffersError: A key is missing, unexpected or of another shape; it names the keys.
    """
    if not originals.is_dir():
        raise NotFoundError(f"no folder {originals}")
    if target.resolve() == originals.resolve():
        raise UsageError(f"{target} holds the originals", hint="write to another folder")
    found = {role: _find(network, originals) for role, network in NETWORKS.items()}
    if not any(found.values()):
        names = ", ".join(name for network in NETWORKS.values() for name in network.originals)
        raise NotFoundError(f"{originals} holds none of the public files", hint=f"they are {names}")
    rows = []
    with atomic_folder(target) as staged:
        for role, path in found.items():
            if path:
                network = NETWORKS[role]
                parameters = _write(network, path, staged)
                row = {"role": role, "file": network.file, "parameters": parameters}
                rows.append({**row, "original": path.name, "licence": network.licence})
        facts = {
            "kind": "face pack",
            "commercial": False,
            "licences": {row["role"]: row["licence"] for row in rows},
            "originals": {path.name: sha256(path) for path in found.values() if path},
        }
        write_manifest(staged, facts)
    return rows


def _find(network: Published, folder: Path) -> Path | None:
    paths = [folder / name for name in network.originals]
    return next((path for path in paths if path.is_file()), None)


def _write(network: Published, path: Path, folder: Path) -> int:
    tensors = read_tensors(path)
    check(tensors, network, path)
    kept = {
        name: value.contiguous() for name, value in tensors.items() if not name.endswith(COUNTER)
    }
    save_file(kept, folder / network.file)
    (folder / network.file).chmod(0o644)
    buffers = ("running_mean", "running_var")
    return sum(value.numel() for name, value in kept.items() if not name.endswith(buffers))
