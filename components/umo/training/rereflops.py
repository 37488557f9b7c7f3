"""What a step of ReReFL costs at FLUX.1-dev's real shape: accounted anywhere, measured on a GPU.

The weights are random, since neither time nor memory depends on their values. Accounted is what
torch's operators say on the meta device, which computes nothing: operations of every pass, bytes of
weights, gradients, moments, and of all that is alive at the highest moment of the step with
gradient, whose blocks are recomputed. LoRA is trained in float32 and computed in bfloat16, for
which autocast keeps copies. Text encoders have left the device. A step on one sample is, on
average over the window, `T - (Ts + Te) / 2` passes without gradient, one step with gradient through
the transformer and the decoder, and one pass of the flow-matching loss. The networks for faces are
left out.

Measured, where there is a CUDA device, are seconds by part and the highest memory of whole steps of
`umo.training.objective`; utilisation is accounted operations by measured time and the device's
dense bfloat16 rate.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from umo.bases.flux_reference import FluxReference
from umo.config import to_mapping
from umo.errors import UsageError
from umo.faces.detect import FaceDetector, Faces
from umo.faces.packs import ARCFACE_TEMPLATE, load_pack
from umo.training.cache import Group
from umo.training.config import RereflConfig
from umo.training.log import peak_memory
from umo.training.memory import choose_precision, recompute_blocks
from umo.training.objective import Objective
from umo.training.operations import dense_rate
from umo.training.parallel import World
from umo.training.peak import Peak, flash_attention
from umo.training.real_shape import (
    META,
    TEXT_LENGTH,
    bytes_of,
    conditioning,
    flux_dev,
    tensors_of,
)

Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class RereflopsConfig:
    """The step to account for; the defaults are the paper's on UNO."""

    sizes: tuple[int, ...] = (512, 768)
    """Sides of the square pictures, pixels."""
    references: int = 2
    """Reference pictures of a sample."""
    reference_size: int = 320
    """Side of a reference, pixels (UNO's for several)."""
    rank: int = 512
    """Rank of the LoRA."""
    rollout_steps: int = 25
    """Euler steps of a whole roll-out."""
    window: tuple[int, int] = (1, 10)
    """First and last stop step, counted from the clean end."""
    batch: int = 1
    """Samples in a pass on the GPU."""
    steps: int = 4
    """Steps measured on the GPU, after one that is not."""

    def __post_init__(self) -> None:
        for side in (*self.sizes, self.reference_size):
            if side < 16 or side % 16:
                raise UsageError(f"a side is {side} px", hint="use multiples of 16")
        if self.references < 1:
            raise UsageError(f"references is {self.references}", hint="it must be at least 1")


def account(config: RereflopsConfig, size: int) -> dict[str, Any]:
    """Operations and bytes of a step on one sample, from the meta device.

    Args:
        config: The step.
        size: Side of the picture, pixels.

    Returns:
        `operations` by part and as `step`, `gigabytes` by part and as `total`, and `parameters`.
    """
    base = flux_dev(META)
    lora = base.add_lora(config.rank, seed=0)
    recompute_blocks(base.transformer)
    recompute_blocks(base.decoder)
    for parameter in lora:
        parameter.grad = torch.empty_like(parameter)
    seen = conditioning(
        base,
        1,
        references=config.references,
        side=config.reference_size,
        device=META,
        dtype=torch.bfloat16,
    )
    latents = torch.empty(1, *base.latent_shape(size, size), device=META, dtype=torch.bfloat16)
    sigma = torch.empty(1, device=META, dtype=torch.bfloat16)

    def velocity() -> Tensor:
        return base.velocity(latents, sigma, seen, guidance=4.0)

    peak = Peak([*tensors_of(base), *(p.grad for p in lora if p.grad is not None)])
    with flash_attention():
        with FlopCounterMode(display=False) as forward, torch.no_grad():
            velocity()
        with FlopCounterMode(display=False) as decoding, torch.no_grad():
            base.decode(latents.float())
        with FlopCounterMode(display=False) as anchor:
            velocity().sum().backward()
        with FlopCounterMode(display=False) as step, peak:
            base.decode((latents - velocity()).float()).sum().backward()
    first, last = config.window
    passes = config.rollout_steps - (first + last) / 2
    operations = {
        "rollout": passes * forward.get_total_flops(),
        "step and backward": step.get_total_flops(),
        "flow matching": anchor.get_total_flops(),
    }
    frozen = [p for p in base.transformer.parameters() if not p.requires_grad]
    numbers = sum(p.numel() for p in lora)
    trained = 4 * numbers
    gigabytes = {
        "base": bytes_of(frozen) / 1e9,
        "autoencoder": bytes_of(base.parts.vae.parameters()) / 1e9,
        "lora": trained / 1e9,
        "lora in bfloat16": 2 * numbers / 1e9,
        "gradient": trained / 1e9,
        "moments": 2 * trained / 1e9,
        "highest activations": peak.highest / 1e9,
    }
    return {
        "size": size,
        "tokens": _tokens(config, size),
        "parameters": {
            "base": sum(p.numel() for p in frozen),
            "lora": numbers,
        },
        "operations": {
            **operations,
            "step": sum(operations.values()),
            "forward": forward.get_total_flops(),
            "decode": decoding.get_total_flops(),
        },
        "gigabytes": {**gigabytes, "total": sum(gigabytes.values())},
    }


def measure(
    base: FluxReference, config: RereflopsConfig, size: int, device: torch.device
) -> dict[str, Any]:
    """Seconds by part and the highest memory of whole steps, optimiser included.

    Faces are looked for and then put at fixed places, since random weights paint none.

    Args:
        base: On the device, without LoRA.
        config: The step.
        size: Side of the picture, pixels.
        device: Where.

    Returns:
        `seconds` by part and as `step`, of one sample, and `peak_gigabytes`.
    """
    pack = load_pack().to(device)
    pack = replace(pack, detector=_FixedFaces(pack.detector, size))
    setup = RereflConfig(
        batch=config.batch,
        points=1,
        rank=config.rank,
        rollout_steps=config.rollout_steps,
        window=config.window,
    )
    lora = base.add_lora(config.rank, seed=0)
    for parameter in lora:
        parameter.data = parameter.data.float()
    recompute_blocks(base.transformer)
    recompute_blocks(base.decoder)
    people = torch.nn.functional.normalize(torch.randn(2, pack.reward.dim)).to(device)
    group = Group(
        indices=list(range(config.batch)),
        height=size,
        width=size,
        conditioning=conditioning(
            base,
            config.batch,
            references=config.references,
            side=config.reference_size,
            device=device,
        ),
        latents=torch.randn(config.batch, *base.latent_shape(size, size), device=device),
        goals=[people] * config.batch,
        judge_goals=[],
    )
    precision = choose_precision("auto", device)
    objective = Objective(setup, base, pack, World(device=device), precision)
    optimizer = torch.optim.AdamW(lora, lr=5e-6)
    spent = []
    for _ in range(config.steps + 1):
        with objective.meter.clock("all"):
            objective.backward(group, torch.arange(config.batch))
            nn.utils.clip_grad_norm_(lora, 1.0)
            optimizer.step()
            optimizer.zero_grad()
        spent.append(objective.meter.take(World(device=device)))
    parts = [name for name in spent[0] if name.startswith("seconds_")]
    seconds = {
        name.removeprefix("seconds_"): fmean(line[name] for line in spent[1:]) / config.batch
        for name in parts
    }
    seconds["step of all parts"] = seconds.pop("all")
    return {
        "seconds": seconds,
        "peak_gigabytes": peak_memory(device) / 1e9,
        "precision": f"{precision.name} ({precision.reason})",
    }


def rereflops(config: RereflopsConfig, progress: Progress) -> dict[str, Any]:
    """Account for a step at each size and, where there is a CUDA device, measure it.

    Returns:
        `device`, `measured` (whether there was one), and for each size `accounted` and `measured`
        (None without a device), with `utilisation` where the device's rate is known.
    """
    cuda = torch.device("cuda", 0) if torch.cuda.is_available() else None
    name = torch.cuda.get_device_name(cuda) if cuda else "none: accounted on the meta device"
    sizes = []
    for number, size in enumerate(config.sizes):
        progress({"phase": f"{size} px", "done": number, "total": len(config.sizes)})
        accounted, measured = account(config, size), None
        if cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(cuda)
            measured = measure(flux_dev(cuda), config, size, cuda)
            seconds = measured["seconds"]["step of all parts"]
            rate = dense_rate(name)
            done = accounted["operations"]["step"] / seconds
            measured["utilisation"] = done / rate if rate else None
        sizes.append({"size": size, "accounted": accounted, "measured": measured})
    progress({"phase": "done", "done": len(config.sizes), "total": len(config.sizes)})
    return {
        "device": name,
        "measured": cuda is not None,
        "torch": torch.__version__,
        "settings": to_mapping(config),
        "sizes": sizes,
    }


def rows(result: dict[str, Any]) -> list[list[str]]:
    """The result of `rereflops` as a table, its header first."""
    table = [["of one sample", "kind", *(f"{one['size']} px" for one in result["sizes"])]]
    accounted = [one["accounted"] for one in result["sizes"]]
    for part in accounted[0]["operations"]:
        numbers = [f"{one['operations'][part] / 1e12:.1f}" for one in accounted]
        table.append([f"{part}, 10^12 operations", "accounted", *numbers])
    for part in accounted[0]["gigabytes"]:
        numbers = [f"{one['gigabytes'][part]:.1f}" for one in accounted]
        table.append([f"{part}, GB", "accounted", *numbers])
    if result["measured"]:
        measured = [one["measured"] for one in result["sizes"]]
        for part in measured[0]["seconds"]:
            numbers = [f"{one['seconds'][part]:.2f}" for one in measured]
            table.append([f"{part}, s", "measured", *numbers])
        peaks = [f"{one['peak_gigabytes']:.1f}" for one in measured]
        table.append(["peak memory, GB", "measured", *peaks])
        shares = [f"{one['utilisation'] or 0:.2f}" for one in measured]
        table.append(["utilisation", "both", *shares])
    return table


class _FixedFaces(nn.Module):
    """Looks for faces and answers with two side by side, wherever they were."""

    def __init__(self, detector: FaceDetector, size: int) -> None:
        super().__init__()
        self._detector = detector
        side = size / 2
        template = torch.tensor(ARCFACE_TEMPLATE) * (side / 112)
        shift = torch.tensor([[[0.0, side / 2]], [[side, side / 2]]])
        corner = shift[:, 0]
        self._faces = Faces(
            boxes=torch.cat([corner, corner + side], dim=1),
            landmarks=template + shift,
            scores=torch.ones(2),
        )

    def detect(self, images: Tensor) -> list[Faces]:
        self._detector.detect(images)
        return [self._faces] * len(images)


def _tokens(config: RereflopsConfig, size: int) -> int:
    return TEXT_LENGTH + (size // 16) ** 2 + config.references * (config.reference_size // 16) ** 2
