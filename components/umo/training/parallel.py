"""Processes that train one model together: alone, replicated or sharded, by one code path.

torchrun says in `RANK` and `WORLD_SIZE` how many there are. Every process draws the random numbers
of the whole batch and trains on its share of the samples; gradients are added up, each weighted
with its share. So neither the numbers of a run nor its checkpoints depend on how many processes
there are, but for the order of floating-point sums.

Replicated processes add up their gradients once a step, after the last backward pass: both losses
and all their forward passes go through one module, which torch's DistributedDataParallel, that
reduces within a backward pass, does not allow. What LoRA has to send is small.

Sharded ones (FSDP2, `fully_shard`) hold a slice of every parameter, gradient and moment. They must
call the transformer equally often, hence `World.lock_step`.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

CPU = torch.device("cpu")
PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others before it gives up."""


@dataclass(frozen=True, kw_only=True)
class World:
    """All processes of a run, and which one this is."""

    rank: int = 0
    size: int = 1
    device: torch.device = CPU
    """Where this process computes."""
    sharded: bool = False
    """Whether parameters are spread over the processes."""

    @property
    def first(self) -> bool:
        """Whether this process writes what is written once."""
        return self.rank == 0

    @property
    def lock_step(self) -> bool:
        """Whether every process must call the transformer as often as the others."""
        return self.sharded and self.size > 1

    def parts(self, count: int, most: int | None) -> list[tuple[Tensor, float]]:
        """This process's samples of a batch of `count`, in passes of at most `most`.

        Returns:
            For each pass the samples' places in the batch, and their share of it. There are as
            many passes everywhere: one without samples repeats one with share 0.
        """
        passes = -(-count // (self.size * (most or count)))
        slices = torch.arange(count).tensor_split(self.size * passes)
        mine = slices[self.rank * passes : (self.rank + 1) * passes]
        return [(p, len(p) / count) if len(p) else (torch.arange(1), 0.0) for p in mine]

    def add(self, values: Sequence[float]) -> list[float]:
        """Each value, added up over all processes."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return total.tolist()

    def collect(self, content: bytes) -> list[bytes]:
        """What each process gives, all of one length, in the order of their ranks."""
        if self.size == 1:
            return [content]
        mine = torch.tensor(list(content), dtype=torch.uint8, device=self.device)
        everyone = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(everyone, mine)
        return [bytes(given.tolist()) for given in everyone]

    def wait(self) -> None:
        """Wait until every process is here."""
        self.add([0.0])

    def shard(self, transformer: nn.Module) -> None:
        """Spread the parameters of a transformer over the processes, block by block."""
        if not self.lock_step:
            return
        mesh = init_device_mesh(self.device.type, (self.size,))
        blocks = [
            block
            for part in transformer.children()
            if isinstance(part, nn.ModuleList)
            for block in part
        ]
        for module in (*blocks, transformer):
            fully_shard(module, mesh=mesh)
        for module in transformer.modules():
            if isinstance(module, FSDPModule):
                module.set_gradient_divide_factor(1.0)
                module.set_force_sum_reduction_for_comms(True)

    def add_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Add up the gradients of replicated parameters; sharded ones already are."""
        if self.size == 1 or self.sharded:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
        dist.all_reduce(flat)
        sizes = [parameter.numel() for parameter in parameters]
        for parameter, summed in zip(parameters, flat.split(sizes), strict=True):
            parameter.grad = summed.view_as(parameter)

    @contextmanager
    def whole(self, transformer: nn.Module) -> Iterator[None]:
        """Inside the block, the transformer's `state_dict` has whole trained parameters.

        Every process must enter.
        """
        full = {
            name: parameter.full_tensor().cpu()
            for name, parameter in transformer.named_parameters(remove_duplicate=False)
            if parameter.requires_grad and isinstance(parameter, DTensor)
        }
        hook = transformer.register_state_dict_post_hook(
            lambda module, state, prefix, metadata: state.update(full)
        )
        try:
            yield
        finally:
            hook.remove()


@contextmanager
def joined(*, sharded: bool = False) -> Iterator[World]:
    """The world that torchrun started this process in, until the block ends; else it is alone.

    Args:
        sharded: Whether to spread parameters over the processes.
    """
    cuda = torch.cuda.is_available()
    size = int(os.environ.get("WORLD_SIZE", "1"))
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else CPU
    if size == 1:
        yield World(device=device)
        return
    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)
    try:
        yield World(rank=dist.get_rank(), size=size, device=device, sharded=sharded)
    finally:
        dist.destroy_process_group()


def local(tensor: Tensor) -> tuple[Tensor, int]:
    """What this process holds of a tensor, and the row of the whole that it begins with.

    FSDP2 cuts the first dimension into as many equal runs of rows as there are processes; the last
    ones may be shorter, or empty.
    """
    if not isinstance(tensor, DTensor):
        return tensor, 0
    size = tensor.device_mesh.size()
    start = min(tensor.device_mesh.get_local_rank() * -(-tensor.shape[0] // size), tensor.shape[0])
    return tensor.to_local(), start
