"""The tensors of a run that training changes, by name, for checkpoints."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from umo.training.checkpoint import Checkpoint

MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""What AdamW keeps of a parameter once it had a gradient."""


class State:
    """Trained parameters, AdamW's moments, averaged weights and the state of the random numbers.

    Averaged weights follow `a <- d a + (1 - d) p` with `d = min(decay, (1 + n) / (10 + n))` after
    `n` steps, so that the first steps are soon forgotten (as diffusers' `EMAModel`).

    Args:
        parameters: What is trained, by name.
        optimizer: AdamW over these.
        generator: The run's only source of random numbers.
        decay: Of the averaged weights; 0 for none.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        optimizer: torch.optim.AdamW,
        generator: torch.Generator,
        decay: float,
    ) -> None:
        self._parameters = parameters
        self._optimizer = optimizer
        self._generator = generator
        self._decay = decay
        self._averages = (
            {name: p.detach().clone() for name, p in parameters.items()} if decay else {}
        )

    @torch.no_grad()
    def average(self, step: int) -> None:
        """Take step number `step` into the averaged weights."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, average in self._averages.items():
            average.lerp_(self._parameters[name].detach(), 1 - decay)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The parameters are the averaged weights inside the block, where there are any."""
        self._swap()
        yield
        self._swap()

    def tensors(self) -> dict[str, Tensor]:
        """Everything, by name."""
        found = {f"parameter/{name}": p.detach() for name, p in self._parameters.items()}
        found |= {f"average/{name}": average for name, average in self._averages.items()}
        for name, parameter in self._parameters.items():
            moments = self._optimizer.state[parameter]
            found |= {f"{moment}/{name}": tensor for moment, tensor in moments.items()}
        return {**found, "random": self._generator.get_state()}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint.

        Raises:
            DiffersError: A tensor is missing or has another shape.
        """
        for name, parameter in self._parameters.items():
            checkpoint.fill(parameter.detach(), f"parameter/{name}")
            if f"step/{name}" in checkpoint:
                like = (torch.tensor(0.0), torch.zeros_like(parameter), torch.zeros_like(parameter))
                self._optimizer.state[parameter] = dict(zip(MOMENTS, like, strict=True))
                for moment in MOMENTS:
                    tensor = self._optimizer.state[parameter][moment]
                    checkpoint.fill(tensor.detach(), f"{moment}/{name}")
        for name, average in self._averages.items():
            checkpoint.fill(average, f"average/{name}")
        self._generator.set_state(checkpoint.tensor("random"))

    @torch.no_grad()
    def _swap(self) -> None:
        for name, average in self._averages.items():
            parameter = self._parameters[name]
            kept = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(kept)
