"""The most memory that operators hold at a time, counted without an allocator or a device."""

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

ATTENTION = "scaled_dot_product_attention"


class Peak(TorchDispatchMode):
    """Counts the bytes of the tensors that are made inside the block and still alive.

    It sees the backward pass too. Each storage counts once, until its last tensor is gone. What an
    allocator rounds up and what a kernel needs for itself is not in it.

    Args:
        known: Tensors that were there before, such as weights: views of them cost nothing.
    """

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        TorchDispatchMode.__init__(self)
        self.bytes = 0
        """Alive now."""
        self.highest = 0
        """Most at a time."""
        self._alive = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operator and count what it made."""
        made = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._count, made)
        return made

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._alive:
            return
        self._alive.add(key)
        size = storage.nbytes()
        self.bytes += size
        self.highest = max(self.highest, self.bytes)
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self.bytes -= size


@contextmanager
def flash_attention() -> Iterator[None]:
    """Inside the block attention is FlashAttention's, as on a GPU.

    The meta device would write the whole table of scores, and the backward pass again when it
    recomputes a block, where torch's own modes do not reach.
    """

    def attend(query: Tensor, key: Tensor, value: Tensor, **others: Any) -> Tensor:
        out: Tensor = torch.ops.aten._scaled_dot_product_flash_attention(query, key, value)[0]
        return out

    before = F.scaled_dot_product_attention
    setattr(F, ATTENTION, attend)
    try:
        yield
    finally:
        setattr(F, ATTENTION, before)
