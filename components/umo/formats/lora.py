"""A LoRA without its file format: for each adapted layer the matrices `down` and `up`.

The layer's weight becomes `W + up @ down`; every format here has alpha equal to the rank, so that
the scale is 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from umo.errors import DiffersError, NotFoundError, UsageError
from umo.files import atomic_path
from umo.keys import differences

Sizes = Mapping[str, tuple[int, int]]
"""Inputs and outputs of each adapted layer, by its name."""


@dataclass(frozen=True)
class Pair:
    """What is added to one layer."""

    down: Tensor
    """`[rank,inputs]`."""
    up: Tensor
    """`[outputs,rank]`."""


Lora = dict[str, Pair]


@dataclass(frozen=True)
class Names:
    """How a format calls the matrices of a layer."""

    prefix: str = ""
    down: str = ".lora_A.weight"
    up: str = ".lora_B.weight"

    def keys(self, layer: str) -> tuple[str, str]:
        """The keys of `down` and `up`."""
        return f"{self.prefix}{layer}{self.down}", f"{self.prefix}{layer}{self.up}"


DIFFUSERS = Names(prefix="transformer.")


def rank(lora: Lora) -> int:
    """Columns of every `up`."""
    return next(iter(lora.values())).up.shape[1]


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a LoRA file.

    Raises:
        NotFoundError: There is no such file.
        UsageError: It is no safetensors file.
    """
    if not path.is_file():
        raise NotFoundError(f"no LoRA at {path}")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UsageError(f"{path} is no safetensors file: {error}") from error


def write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a LoRA file, atomically."""
    own = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
    with atomic_path(path) as staged:
        save_file(own, staged, metadata={"format": "pt"})


def gather(tensors: Mapping[str, Tensor], sizes: Sizes, names: Names) -> Lora:
    """The LoRA of a file's tensors, which must be all there and fit.

    Raises:
        DiffersError: A key is missing, unexpected or of another shape, or the ranks differ; it
            names the keys.
    """
    ranks = sorted({tensor.shape[0] for key, tensor in tensors.items() if key.endswith(names.down)})
    most = ranks[-1] if ranks else 0
    expected: dict[str, tuple[int, ...]] = {}
    for layer, (inputs, outputs) in sizes.items():
        down, up = names.keys(layer)
        expected |= {down: (most, inputs), up: (outputs, most)}
    problems = differences(expected, {key: tuple(t.shape) for key, t in tensors.items()})
    if len(ranks) > 1:
        problems = f"LoRA ranks {ranks}, it must have one; {problems}"
    if problems:
        raise DiffersError(problems)
    return {layer: Pair(*(tensors[key] for key in names.keys(layer))) for layer in sizes}


def read_diffusers(tensors: Mapping[str, Tensor], sizes: Sizes) -> Lora:
    """The LoRA of a file with diffusers' keys, which may begin at the transformer.

    Raises:
        DiffersError: A key is missing, unexpected or of another shape; it names the keys.
    """
    bare = not any(key.startswith(DIFFUSERS.prefix) for key in tensors)
    return gather(tensors, sizes, Names() if bare else DIFFUSERS)


def scatter(lora: Lora, names: Names) -> dict[str, Tensor]:
    """The tensors of a LoRA under a format's keys."""
    return {
        key: tensor
        for layer, pair in lora.items()
        for key, tensor in zip(names.keys(layer), (pair.down, pair.up), strict=True)
    }
