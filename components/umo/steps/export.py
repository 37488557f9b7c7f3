"""Step: write a LoRA as other programs read it, or merge it into its base."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import Flux2Transformer2DModel, FluxTransformer2DModel
from torch import Tensor

from umo.bases import flux2, flux_reference, load_base, omnigen2
from umo.bases.lora import sizes_of
from umo.bases.omnigen2_transformer import OmniGen2Transformer2DModel
from umo.errors import DiffersError, UsageError
from umo.files import atomic_folder, read_manifest, sha256, write_manifest
from umo.formats import omnigen2 as omnigen2_files
from umo.formats import uno
from umo.formats.lora import (
    DIFFUSERS,
    Lora,
    Names,
    Sizes,
    rank,
    read,
    read_diffusers,
    scatter,
    write,
)
from umo.formats.lowrank import reduce_rank

Format = Literal["diffusers", "uno", "omnigen2", "comfyui", "merged"]
FILE = "lora.safetensors"


@dataclass(frozen=True, kw_only=True)
class Family:
    """Bases of one architecture."""

    transformer: Any
    """Its class."""
    targets: Callable[[Any], list[str]]
    """The layers that LoRA adapts."""
    read: Callable[[Mapping[str, Tensor], Sizes], Lora]
    """What understands its files."""
    names: Mapping[str, Names]
    """How each format calls the matrices."""
    fused: frozenset[str] = frozenset()
    """Formats that have one pair for queries, keys and values."""


FAMILIES = {
    "FluxTransformer2DModel": Family(
        transformer=FluxTransformer2DModel,
        targets=flux_reference.lora_targets,
        read=uno.read_any,
        names={"diffusers": DIFFUSERS, "uno": uno.NAMES, "comfyui": uno.NAMES},
        fused=frozenset({"uno", "comfyui"}),
    ),
    "Flux2Transformer2DModel": Family(
        transformer=Flux2Transformer2DModel,
        targets=flux2.lora_targets,
        read=read_diffusers,
        names={"diffusers": DIFFUSERS},
    ),
    "OmniGen2Transformer2DModel": Family(
        transformer=OmniGen2Transformer2DModel,
        targets=omnigen2.lora_targets,
        read=omnigen2_files.read_any,
        names={
            "omnigen2": omnigen2_files.NAMES,
            "diffusers": DIFFUSERS,
            "comfyui": omnigen2_files.COMFYUI,
        },
    ),
}
"""By the class that `transformer/config.json` names."""


def run(
    lora: Path, base: Path, to: Format, out: Path, *, to_rank: int | None = None
) -> dict[str, Any]:
    """Write a LoRA in another format; the same numbers, unless the rank is reduced.

    Args:
        lora: A file with the keys of any format, or a folder with `lora.safetensors`.
        base: Folder of the base that it is for.
        to: `diffusers`, the native format of the base (`uno`, `omnigen2`), `comfyui`, or `merged`:
            the whole base with the LoRA in its weights, a base of its own. All load here.
        out: Folder to write; replaced if it exists.
        to_rank: Reduce to this rank.

    Returns:
        What the manifest says: `kind`, `format`, `rank`, `source` (sha256 of the file), `base`, and
        `kept` (see `umo.formats.lowrank.Kept`) where the rank was reduced.

    Raises:
        NotFoundError: There is no such file or base.
        UsageError: The file is no safetensors file, the base has no such format, the rank is not
            lower, or a merged LoRA is asked for a rank.
        DiffersError: The file does not fit the base; it names the keys.
    """
    file = lora / FILE if lora.is_dir() else lora
    tensors, facts = read(file), read_manifest(base)
    source = {"source": sha256(file), "base": {"name": facts["name"], "digest": facts["digest"]}}
    if to == "merged":
        if to_rank is not None:
            raise UsageError(f"rank is {to_rank}, merged weights have none", hint="leave it out")
        return _merge(file, base, facts, source, out)
    config = json.loads((base / "transformer" / "config.json").read_text(encoding="utf-8"))
    family = FAMILIES[config["_class_name"]]
    if to not in family.names:
        raise UsageError(
            f"format is {to}, {facts['name']} has no such", hint=f"choose {', '.join(family.names)}"
        )
    with torch.device("meta"):
        model = family.transformer.from_config(config)
    try:
        pairs = family.read(tensors, sizes_of(model, family.targets(model)))
    except DiffersError as error:
        raise DiffersError(f"{file} does not fit {facts['name']}: {error.message}") from error
    if to in family.fused:
        pairs = uno.fuse(pairs)
    kept = {}
    if to_rank is not None:
        pairs, left = reduce_rank(pairs, to_rank)
        kept = {"kept": asdict(left)}
    with atomic_folder(out) as staged:
        write(staged / FILE, scatter(pairs, family.names[to]))
        made = {"kind": "lora", "format": to, "rank": rank(pairs), **source, **kept}
        write_manifest(staged, made)
    return made


def _merge(
    file: Path, base: Path, facts: dict[str, Any], source: dict[str, Any], out: Path
) -> dict[str, Any]:
    model = load_base(str(base))
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
