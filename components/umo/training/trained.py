"""What a run trains: a LoRA on the base, or the base's whole transformer."""

from pathlib import Path

import torch
from safetensors import SafetensorError

from umo.bases.int8 import to_int8
from umo.bases.protocol import ReferenceModel
from umo.bases.weights import FULL, LORA, save_full
from umo.errors import UmoError
from umo.training.config import RereflConfig
from umo.training.memory import Precision


class Trained:
    """The trained part of a base.

    Args:
        config: Whether it is a LoRA or all weights.
        base: What it is part of.
    """

    def __init__(self, config: RereflConfig, base: ReferenceModel) -> None:
        self._config = config
        self._base = base
        self._full = config.weights == "full"
        self.file = FULL if self._full else LORA
        """Name of its file."""
        self.kind = "transformer" if self._full else "lora"
        """What a manifest calls it."""

    def attach(self, precision: Precision) -> None:
        """Make it trainable, in float32; what is frozen gets its number format."""
        config, base = self._config, self._base
        if self._full:
            base.transformer.float().requires_grad_(True)
            return
        if precision.low:
            base.transformer.to(torch.bfloat16)
        if config.base_weights == "int8":
            to_int8(base.transformer)
        for parameter in base.add_lora(config.rank, seed=config.seed):
            parameter.data = parameter.data.float()

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
