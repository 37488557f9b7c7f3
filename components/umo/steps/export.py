"""Step: write a LoRA as other programs read it, or merge it into its base."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import FluxTransformer2DModel

from umo.bases.flux_reference import FluxReference, lora_targets
from umo.bases.lora import sizes_of
from umo.errors import DiffersError, UsageError
from umo.files import atomic_folder, read_manifest, sha256, write_manifest
from umo.formats import uno
from umo.formats.lora import DIFFUSERS, rank, read, scatter, write
from umo.formats.lowrank import reduce_rank

Format = Literal["diffusers", "uno", "comfyui", "merged"]
FILE = "lora.safetensors"


def run(
    lora: Path, base: Path, to: Format, out: Path, *, to_rank: int | None = None
) -> dict[str, Any]:
    """Write a LoRA in another format; the same numbers, unless the rank is reduced.

    Args:
        lora: A file with the keys of any format, or a folder with `lora.safetensors`.
        base: Folder of the base that it is for.
        to: `diffusers` (also what umo itself reads), `uno`, `comfyui` (which reads UNO's keys), or
            `merged`: the whole base with the LoRA in its weights, a base of its own.
        out: Folder to write; replaced if it exists.
        to_rank: Reduce to this rank.

    Returns:
        What the manifest says: `kind`, `format`, `rank`, `source` (sha256 of the file), `base`, and
        `kept` (see `umo.formats.lowrank.Kept`) where the rank was reduced.

    Raises:
        NotFoundError: There is no such file or base.
        UsageError: The file is no safetensors file, the rank is not lower, or a merged LoRA is
            asked for a rank.
        DiffersError: The file does not fit the base; it names the keys.
    """
    file = lora / FILE if lora.is_dir() else lora
    tensors, facts = read(file), read_manifest(base)
    source = {"source": sha256(file), "base": {"name": facts["name"], "digest": facts["digest"]}}
    if to == "merged":
        if to_rank is not None:
            raise UsageError(f"rank is {to_rank}, merged weights have none", hint="leave it out")
        return _merge(file, base, facts, source, out)
    with torch.device("meta"):
        config = FluxTransformer2DModel.load_config(base / "transformer", local_files_only=True)
        model = FluxTransformer2DModel.from_config(config)
    try:
        pairs = uno.read_any(tensors, sizes_of(model, lora_targets(model)))
    except DiffersError as error:
        raise DiffersError(f"{file} does not fit {facts['name']}: {error.message}") from error
    if to != "diffusers":
        pairs = uno.fuse(pairs)
    kept = {}
    if to_rank is not None:
        pairs, left = reduce_rank(pairs, to_rank)
        kept = {"kept": asdict(left)}
    names = DIFFUSERS if to == "diffusers" else uno.NAMES
    with atomic_folder(out) as staged:
        write(staged / FILE, scatter(pairs, names))
        made = {"kind": "lora", "format": to, "rank": rank(pairs), **source, **kept}
        write_manifest(staged, made)
    return made


def _merge(
    file: Path, base: Path, facts: dict[str, Any], source: dict[str, Any], out: Path
) -> dict[str, Any]:
    model = FluxReference.load(base)
    model.load_lora(file)
    model.merge_lora()
    made = {
        "kind": "base",
        "format": "merged",
        "name": f"{facts['name']}-merged",
        "licence": facts.get("licence", "unknown"),
        **source,
    }
    with atomic_folder(out) as staged:
        model.save(staged)
        write_manifest(staged, made)
    return made
