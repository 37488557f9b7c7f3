"""The same bits whatever the batch: a picture must not depend on who else is painted beside it.

On a CPU every operation of the transformer computes a row of the batch alike for any batch, but
one: BLAS multiplies a matrix of fewer than four rows in another order than a larger one, and so
rounds otherwise. Such matrices are the batch's modulation vectors `[B,D]`; filled up with zero
rows, they cost next to nothing and always take the same way.
"""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

ROWS = 8


def steady(module: nn.Module) -> None:
    """Make every linear layer below `module` treat few rows as it treats many."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            # An attribute of the instance hides the method of the class.
            object.__setattr__(layer, "forward", partial(_filled_up, layer.forward))


def _filled_up(forward: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    if rows.ndim != 2 or len(rows) >= ROWS:
        return forward(rows)
    return forward(F.pad(rows, (0, 0, 0, ROWS - len(rows))))[: len(rows)]
