"""UNO's own LoRA keys, which ComfyUI reads too, and diffusers' names of the same layers.

UNO adapts the fused projection of queries, keys and values by one pair of matrices, and diffusers
has a layer for each: its three layers get the same `down`, and each a third of the rows of `up`.
Back again, three layers that no longer share their `down` need a fused pair of three times the
rank: `down` one under the other, `up` block-diagonal. The result is the same.
"""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from umo.formats.lora import Lora, Names, Pair, Sizes, gather, read_diffusers, scatter

NAMES = Names(down=".down.weight", up=".up.weight")
DOUBLE, SINGLE = "transformer_blocks", "single_transformer_blocks"
LAYERS = {
    "double_blocks.{}.processor.qkv_lora1": (DOUBLE, ("attn.to_q", "attn.to_k", "attn.to_v")),
    "double_blocks.{}.processor.proj_lora1": (DOUBLE, ("attn.to_out.0",)),
    "double_blocks.{}.processor.qkv_lora2": (
        DOUBLE,
        ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    ),
    "double_blocks.{}.processor.proj_lora2": (DOUBLE, ("attn.to_add_out",)),
    "single_blocks.{}.processor.qkv_lora": (SINGLE, ("attn.to_q", "attn.to_k", "attn.to_v")),
    "single_blocks.{}.processor.proj_lora": (SINGLE, ("proj_out",)),
}
"""UNO's name of a block's adapter -> diffusers' names of the layers that it adapts."""


def is_uno(tensors: Mapping[str, Tensor]) -> bool:
    """Whether a file has UNO's keys."""
    return any(".processor." in key for key in tensors)


def read_any(tensors: Mapping[str, Tensor], sizes: Sizes) -> Lora:
    """The LoRA of a file with UNO's keys, or with diffusers', which may begin at the transformer.

    Raises:
        DiffersError: A key is missing, unexpected or of another shape; it names the keys.
    """
    return (from_uno if is_uno(tensors) else read_diffusers)(tensors, sizes)


def from_uno(tensors: Mapping[str, Tensor], sizes: Sizes) -> Lora:
    """The LoRA of UNO's tensors.

    Args:
        tensors: What the file holds.
        sizes: Of the layers by diffusers' names.

    Raises:
        DiffersError: A key is missing, unexpected or of another shape; it names UNO's keys.
    """
    fused = fused_layers(sizes)
    wanted = {
        name: (sizes[layers[0]][0], sum(sizes[layer][1] for layer in layers))
        for name, layers in fused.items()
    }
    lora: Lora = {}
    for name, pair in gather(tensors, wanted, NAMES).items():
        rows = [sizes[layer][1] for layer in fused[name]]
        for layer, up in zip(fused[name], pair.up.split(rows), strict=True):
            lora[layer] = Pair(down=pair.down, up=up)
    return {layer: lora[layer] for layer in sizes}


def fuse(lora: Lora) -> Lora:
    """The same LoRA by UNO's names, of one rank, which is three times higher where it must be."""
    pairs = {
        name: _fuse([lora[layer] for layer in layers])
        for name, layers in fused_layers(lora).items()
    }
    rank = max(len(pair.down) for pair in pairs.values())
    return {name: _padded(pair, rank) for name, pair in pairs.items()}


def to_uno(fused: Lora) -> dict[str, Tensor]:
    """UNO's tensors of a LoRA that `fuse` made."""
    return scatter(fused, NAMES)


def fused_layers(layers: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """UNO's names, each with the layers that it stands for."""
    blocks = dict.fromkeys((DOUBLE, SINGLE), 0)
    for layer in layers:
        if found := re.match(rf"({DOUBLE}|{SINGLE})\.(\d+)\.", layer):
            blocks[found[1]] = max(blocks[found[1]], int(found[2]) + 1)
    return {
        name.format(block): tuple(f"{kind}.{block}.{part}" for part in parts)
        for name, (kind, parts) in LAYERS.items()
        for block in range(blocks[kind])
    }


def _fuse(pairs: list[Pair]) -> Pair:
    first = pairs[0].down
    if all(torch.equal(pair.down, first) for pair in pairs):
        return Pair(down=first, up=torch.cat([pair.up for pair in pairs]))
    return Pair(
        down=torch.cat([pair.down for pair in pairs]),
        up=torch.block_diag(*(pair.up for pair in pairs)),
    )


def _padded(pair: Pair, rank: int) -> Pair:
    spare = rank - len(pair.down)
    if not spare:
        return pair
    return Pair(
        down=torch.cat([pair.down, pair.down.new_zeros(spare, pair.down.shape[1])]),
        up=torch.cat([pair.up, pair.up.new_zeros(len(pair.up), spare)], dim=1),
    )
