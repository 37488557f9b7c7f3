"""LoRA on a base's transformer by peft: attach, load strictly, save, switch off, merge, detach."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor, nn

from umo.errors import DiffersError
from umo.formats import lora as formats

ADAPTER = "default"


class PeftLora(ABC):
    """The LoRA methods of a `ReferenceModel` whose transformer is a diffusers model."""

    name: str
    transformer: nn.Module
    lora_names: formats.Names
    """The keys of the files that are written."""

    @abstractmethod
    def lora_targets(self) -> list[str]:
        """Full names of the linear layers of `transformer` that LoRA adapts."""

    @abstractmethod
    def read_lora(self, tensors: Mapping[str, Tensor]) -> formats.Lora:
        """The LoRA of a file's tensors.

        Raises:
            DiffersError: A key is missing, unexpected or of another shape; it names the keys.
        """

    def lora_sizes(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of the layers that LoRA adapts."""
        return sizes_of(self.transformer, self.lora_targets())

    def fused_layers(self) -> list[tuple[str, ...]]:
        """Groups of layers that share the `down` of a fresh LoRA; none unless a base has them."""
        return []

    def add_lora(self, rank: int, *, seed: int) -> list[nn.Parameter]:
        """Attach a fresh LoRA (alpha = rank, A normal with deviation 1/rank, B zero)."""
        self._attach(rank, seed=seed)
        for layers in self.fused_layers():
            self._share(layers)
        return [p for p in self.transformer.parameters() if p.requires_grad]

    def continue_lora(self, path: Path) -> list[nn.Parameter]:
        """Attach the LoRA of a file to train it further; what shares a `down` there goes on to.

        Raises:
            NotFoundError: There is no such file.
            UsageError: It is no safetensors file.
            DiffersError: A key is missing, unexpected or of another shape; it names the keys.
        """
        self.load_lora(path)
        for layers in self.fused_layers():
            first, *others = (self._down(layer).weight for layer in layers)
            if all(torch.equal(first, other) for other in others):
                self._share(layers)
        trained = [p for name, p in self.transformer.named_parameters() if ".lora_" in name]
        for parameter in trained:
            parameter.requires_grad_()
        return trained

    def load_lora(self, path: Path) -> None:
        """Attach the LoRA of a safetensors file.

        Raises:
            NotFoundError: There is no such file.
            UsageError: It is no safetensors file.
            DiffersError: A key is missing, unexpected or of another shape; it names the keys.
        """
        tensors = formats.read(path)
        try:
            lora = self.read_lora(tensors)
        except DiffersError as error:
            self.without_lora()
            raise DiffersError(f"{path} does not fit {self.name}: {error.message}") from error
        self._attach(formats.rank(lora), seed=0)
        set_peft_model_state_dict(
            self._adapted(), formats.scatter(lora, formats.Names()), adapter_name=ADAPTER
        )
        self.transformer.requires_grad_(False)

    def save_lora(self, path: Path) -> None:
        """Write the attached LoRA as a safetensors file, atomically."""
        state = get_peft_model_state_dict(self._adapted(), adapter_name=ADAPTER)
        lora = formats.gather(state, self.lora_sizes(), formats.Names())
        formats.write(path, formats.scatter(lora, self.lora_names))

    @contextmanager
    def lora_off(self) -> Iterator[None]:
        """Inside the block the model paints as without its LoRA."""
        trained = [p for p in self.transformer.parameters() if p.requires_grad]
        self._adapted().disable_adapters()
        try:
            yield
        finally:
            self._adapted().enable_adapters()
            for parameter in trained:
                parameter.requires_grad_(True)

    def merge_lora(self) -> None:
        """Add the attached LoRA to the weights, which is then part of the base."""
        self._adapted().fuse_lora()
        self.without_lora()

    def without_lora(self) -> None:
        """Detach any LoRA: the base again."""
        if getattr(self.transformer, "peft_config", None):
            self._adapted().unload_lora()
        self.transformer.requires_grad_(False)

    def _attach(self, rank: int, *, seed: int) -> None:
        """Attach a fresh LoRA whose layers share nothing."""
        self.without_lora()
        config = LoraConfig(
            r=rank,
            lora_alpha=rank,
            target_modules=self.lora_targets(),
            init_lora_weights="gaussian",
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self._adapted().add_adapter(config, adapter_name=ADAPTER)

    def _share(self, layers: Sequence[str]) -> None:
        """Let layers have the `down` of the first."""
        for layer in layers[1:]:
            self._down(layer).weight = self._down(layers[0]).weight

    def _down(self, layer: str) -> nn.Linear:
        """The `down` of a layer's LoRA."""
        down = self.transformer.get_submodule(f"{layer}.lora_A.{ADAPTER}")
        assert isinstance(down, nn.Linear)
        return down

    def _adapted(self) -> Any:
        """The transformer, as the diffusers model that it is."""
        return self.transformer


def sizes_of(model: nn.Module, layers: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of linear layers, by their names."""
    found = {name: model.get_submodule(name) for name in layers}
    return {
        name: (one.in_features, one.out_features)  # type: ignore[misc]
        for name, one in found.items()
    }
