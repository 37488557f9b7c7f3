"""How busy a device is: the model's operations, and the most that the device could do.

Utilisation is operations by time and by the device's rate. Operations are those of transformer and
decoder, forward and backward, as torch's operators count them (a multiplication and an addition are
two); the networks for faces, the optimiser, and what is computed anew to save memory are left out.
They are counted once for each group of samples, by one sample. The rate is the data sheet's, dense
bfloat16, where the device is known by its name, else that of the quickest of a few matrix products,
so on a CPU the matrices are float32 and all threads of the process work on them.
"""

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from umo.bases.protocol import ReferenceModel
from umo.training.cache import Group
from umo.training.config import RereflConfig

DENSE_BFLOAT16 = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12}
"""Operations a second by a word of the device's name, from the makers' data sheets (SXM)."""
SIDE, TRIES = 1024, 5
"""Of the matrices on a CPU; on a GPU they are eight times as wide."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Operations of one sample."""

    forward: float = 0.0
    """Of a velocity without gradient."""
    step: float = 0.0
    """Of a velocity with its gradient."""
    decode: float = 0.0
    """Of a decoded picture with its gradient."""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """The most that a device could do."""

    operations_per_second: float
    """Of one device."""
    source: str
    """Where the number comes from."""


def cost_of(
    base: ReferenceModel, group: Group, parameters: Sequence[nn.Parameter], *, recompute: bool
) -> Cost:
    """Count the operations of a group's first sample.

    Args:
        base: With what is trained, not yet sharded.
        group: Where the sample is.
        parameters: What is trained; has no gradient afterwards.
        recompute: Whether blocks are computed twice, which then counts once.
    """
    dtype = next(base.transformer.parameters()).dtype
    latents, conditioning = group.latents[:1], group.conditioning[[0]]
    sigma = latents.new_full((1,), 0.5)

    def velocity() -> Tensor:
        with torch.autocast(latents.device.type, dtype=dtype, enabled=dtype == torch.bfloat16):
            return base.velocity(latents, sigma, conditioning, guidance=1.0)

    with FlopCounterMode(display=False) as forward, torch.no_grad():
        velocity()
    with FlopCounterMode(display=False) as step:
        velocity().sum().backward()
    clean = latents.detach().clone().requires_grad_()
    with FlopCounterMode(display=False) as decoded, torch.no_grad():
        base.decode(clean)
    with FlopCounterMode(display=False) as decode:
        base.decode(clean).sum().backward()
    for parameter in parameters:
        parameter.grad = None
    twice = float(recompute)
    return Cost(
        forward=forward.get_total_flops(),
        step=step.get_total_flops() - twice * forward.get_total_flops(),
        decode=decode.get_total_flops() - twice * decoded.get_total_flops(),
    )


def costs_of(base: ReferenceModel, groups: Sequence[Group], *, recompute: bool) -> dict[int, Cost]:
    """The cost of a sample of each group, by the group's id; see `cost_of`."""
    trained = [p for p in base.transformer.parameters() if p.requires_grad]
    return {id(group): cost_of(base, group, trained, recompute=recompute) for group in groups}


def operations(cost: Cost, config: RereflConfig, stops: Tensor | None, samples: int) -> float:
    """Operations of a pass over some samples.

    Args:
        cost: Of one of them.
        config: What is done with them.
        stops: Their stop steps `[samples,points]`; None without a roll-out.
        samples: How many.
    """
    total = 0.0
    if stops is not None:
        end, pictures = config.rollout_steps, samples * config.points
        match config.picture:
            case "one-step":
                free, steps = int(stops.amax(dim=1).sum()), pictures
            case "last-steps":
                free, steps = int(stops.sum()), int((end - stops).sum())
            case _:
                free, steps = samples * end, pictures
        total += free * cost.forward + steps * cost.step + pictures * cost.decode
    if config.anchor or config.velocity_anchor:
        total += samples * cost.step
    if config.velocity_anchor:
        total += samples * cost.forward
    return total


def dense_rate(name: str) -> float | None:
    """Dense bfloat16 operations a second of a device, if its name is known."""
    return next((rate for word, rate in DENSE_BFLOAT16.items() if word in name), None)


@functools.cache
def rate_of(device: torch.device) -> Rate:
    """The most that a device could do, measured where its name says nothing."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        if known := dense_rate(name):
            return Rate(operations_per_second=known, source=f"data sheet of {name}, bfloat16")
        return _measured(device, 8 * SIDE, torch.bfloat16)
    return _measured(device, SIDE, torch.float32)


def _measured(device: torch.device, side: int, dtype: torch.dtype) -> Rate:
    matrix, quickest = torch.ones(side, side, device=device, dtype=dtype), float("inf")
    for _ in range(TRIES):
        started = time.perf_counter()
        (matrix @ matrix)[0, 0].item()
        quickest = min(quickest, time.perf_counter() - started)
    kind = str(dtype).removeprefix("torch.")
    return Rate(
        operations_per_second=2 * side**3 / quickest,
        source=f"measured: the quickest of {TRIES} {kind} products of {side} x {side}",
    )
