"""What training keeps in memory: the precision of the base, and which activations."""

import functools
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from umo.errors import UsageError

Wanted = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class Precision:
    """In what the base's weights are kept and its forward passes computed.

    What is trained, its moments, latents, pictures and losses are float32 in any case.
    """

    name: Literal["float32", "bfloat16"]
    """The number format."""
    reason: str
    """Why it was chosen."""

    @property
    def low(self) -> bool:
        """Whether it is less than float32."""
        return self.name == "bfloat16"

    @property
    def dtype(self) -> torch.dtype:
        """Of the base's weights."""
        return torch.bfloat16 if self.low else torch.float32

    def autocast(self, device: torch.device) -> torch.autocast:
        """Inside the block, matrix products are computed in this precision."""
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.low)


FULL = Precision(name="float32", reason="the default")


def choose_precision(wanted: Wanted, device: torch.device) -> Precision:
    """The precision to train in.

    Raises:
        UsageError: The device does not know it.
    """
    cuda = device.type == "cuda"
    able = torch.cuda.is_bf16_supported() if cuda else True
    if wanted == "bfloat16" and not able:
        raise UsageError(f"{device} knows no bfloat16", hint="set precision to float32")
    if wanted != "auto":
        return Precision(name=wanted, reason="asked for")
    if cuda and able:
        return Precision(name="bfloat16", reason="auto: a GPU that computes in it")
    where = "a GPU that does not compute in bfloat16" if cuda else "a CPU, where it is not faster"
    return Precision(name="float32", reason=f"auto: {where}")


def recompute_blocks(module: nn.Module) -> None:
    """Keep only the inputs of a module's blocks; the backward pass computes the rest anew.

    Blocks are the elements of its lists of modules. Their values, and so the gradients, are the
    same; with gradient off nothing changes.
    """
    for part in module.children():
        for block in part if isinstance(part, nn.ModuleList) else ():
            forward = functools.partial(checkpoint, block.forward, use_reentrant=False)
            block.forward = functools.wraps(block.forward)(forward)
