"""What a run trains: a LoRA on the base, or the base's whole transformer."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import nn

from umo.bases.int8 import to_int8
from umo.bases.protocol import ReferenceModel
from umo.bases.weights import FULL, LORA, save_full
from umo.errors import UmoError, UsageError
from umo.training.config import RereflConfig
from umo.training.memory import Precision


class Trained:
    """The trained part of a base.

    Args:
        config: Whether it is a LoRA or all weights.
        base: What it is part of.
        start: A LoRA file to go on from; None begins with a fresh one.
    """

    def __init__(
        self, config: RereflConfig, base: ReferenceModel, start: Path | None = None
    ) -> None:
        self._config = config
        self._start = start
        self._base = base
        self._full = config.weights == "full"
        self.file = FULL if self._full else LORA
        """Name of its file."""
        self.kind = "transformer" if self._full else "lora"
        """What a manifest calls it."""

    def attach(self, precision: Precision) -> None:
        """Make it trainable, in float32; what is frozen gets its number format.

        Raises:
            DiffersError: The LoRA to go on from does not fit the base.
            UsageError: It has another rank, or all weights are to be trained.
        """
        config, base = self._config, self._base
        if self._full and self._start:
            raise UsageError(f"all weights do not go on from {self._start}", hint="leave it out")
        if self._full:
            base.transformer.float().requires_grad_(True)
            return
        if precision.low:
            base.transformer.to(torch.bfloat16)
        if config.base_weights == "int8":
            to_int8(base.transformer)
        for parameter in self._lora():
            parameter.data = parameter.data.float()

    def _lora(self) -> list[nn.Parameter]:
        config, start = self._config, self._start
        if not start:
            return self._base.add_lora(config.rank, seed=config.seed)
        lora = self._base.continue_lora(start)
        rank = min(min(parameter.shape) for parameter in lora)
        if rank != config.rank:
            raise UsageError(
                f"rank is {config.rank}, {start} has {rank}", hint=f"set rank to {rank}"
            )
        return lora

    def save(self, folder: Path) -> None:
        """Write it.

        Raises:
            UmoError: It could not be written.
        """
        path = folder / self.file
        try:
            if self._full:
                save_full(self._base, path)
            else:
                self._base.save_lora(path)
        except SafetensorError as error:
            raise UmoError(f"cannot write {path}: {error}", hint="free space there") from error
