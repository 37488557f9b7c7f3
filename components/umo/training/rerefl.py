"""ReReFL: reference reward feedback learning of a LoRA (UMO, arXiv 2509.06818, section 3).

Kept, for each sample (prompt, target, references):
    L_diff = |v(x_s, s) - (noise - x0)|^2,  x_s = (1 - s) * x0 + s * noise   the base's own loss
    t ~ U(Ts, Te), counted from the clean end of a T-step roll-out
    x_T -> x_t by Euler steps without gradient, then ONE step with gradient:
    x0' = x_t - sigma_t * v(x_t, sigma_t),  picture = decode(x0'),  R = reward(faces, goal faces)
    L = anchor * L_diff - reward_weight * R
R is `matching` (MIMR), `single` (SIR), or absent (`none`: plain fine-tuning on the same data).
`sigma_t` is the shifted sigma the roll-out runs on, and the picture is never clamped: both would
spoil the gradient.

Added: `points` stop steps from one roll-out, since a roll-out costs more than a gradient step.

Dropped: UNO's prompt dropout, which serves guidance the tuned model never uses; KL, hinge, EMA and
a warm start, which the paper does not mention either.

On the CPU the same seed gives the same weights, bit for bit, at a fixed number of threads, unless
`max_seconds` ends the run.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from umo.bases.protocol import ReferenceModel, device_of
from umo.config import to_mapping
from umo.data.shards import Dataset
from umo.errors import UmoError, UsageError
from umo.faces.packs import FacePack, detect_float, embed_faces
from umo.files import MANIFEST, sha256, write_manifest
from umo.lineage import code_version
from umo.rewards.matching import MatchingConfig, MatchingResult, matching_rewards
from umo.rewards.single import single_rewards
from umo.training.cache import Goal, Group, batches, encode_dataset
from umo.training.log import Meter, append_line, machine
from umo.training.rollout import denoise, predict_clean, start_noise

LORA = "lora.safetensors"
METRICS = "metrics.jsonl"
TABLE_STEPS = 999
"""Steps of the training table of noise levels, so it has 1000 of them (as UNO's)."""

Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class RereflConfig:
    """How a LoRA is tuned; the defaults suit the embedded base."""

    reward: Literal["matching", "single", "none"] = "matching"
    """MIMR, SIR, or plain fine-tuning on the same data."""
    matching: MatchingConfig = field(default_factory=MatchingConfig.platform)
    """Weights and options of MIMR; by default on the scale of SIR (paper: `MatchingConfig()`)."""
    goal: Goal = "reference"
    """Whose faces the reward compares with: the references' (paper) or the target's (its code)."""
    steps: int = 60
    """Optimiser steps."""
    batch: int = 8
    """Samples in a step, all with the same number of people."""
    points: int = 2
    """Stop steps taken from each roll-out, 1 to the length of the window."""
    rank: int = 64
    """Rank of the LoRA (paper: 512)."""
    lr: float = 1e-3
    """Learning rate (paper: 5e-6 at rank 512)."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Of AdamW."""
    weight_decay: float = 0.01
    """Of AdamW."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    warmup: int = 10
    """Steps over which the learning rate rises linearly, then it is constant."""
    anchor: float = 1.0
    """Weight of the flow-matching loss (lambda)."""
    reward_weight: float = 10.0
    """Weight of the reward (paper: 1)."""
    rollout_steps: int = 8
    """Euler steps of a whole roll-out (T; UNO 25, OmniGen2 50)."""
    window: tuple[int, int] = (1, 4)
    """First and last stop step (Ts, Te), counted from the clean end (UNO 1..10, OmniGen2 1..20)."""
    guidance: float = 4.0
    """Guidance of the roll-out and of the step with gradient."""
    anchor_guidance: float = 1.0
    """Guidance of the flow-matching loss."""
    seed: int = 0
    """Of the LoRA, the order of the samples, noises and steps."""
    save_every: int = 20
    """Steps between saves of the weights."""
    log_every: int = 5
    """Steps in a line of metrics."""
    max_seconds: float | None = None
    """Stop after this time although steps are left; the weights are then not reproducible."""

    def __post_init__(self) -> None:
        first, last = self.window
        if not 1 <= first <= last <= self.rollout_steps:
            raise UsageError(
                f"window is {first}..{last} of a roll-out of {self.rollout_steps} steps",
                hint="choose 1 <= Ts <= Te <= rollout_steps",
            )
        if not 1 <= self.points <= last - first + 1:
            raise UsageError(
                f"points is {self.points}, the window {first}..{last} has {last - first + 1} steps"
            )
        for name in ("steps", "batch", "rank", "save_every", "log_every"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}", hint="it must be at least 1")
        for name in ("lr", "clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"{name} is {getattr(self, name)}", hint="it must be above 0")
        if self.reward == "none" and self.anchor == 0:
            raise UsageError("reward is 'none' and anchor 0, so there is nothing to learn")


def train(
    config: RereflConfig,
    *,
    base: ReferenceModel,
    dataset: Dataset,
    pack: FacePack,
    out: Path,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Tune a fresh LoRA on `base`, which keeps it attached.

    Args:
        config: What to optimise and how.
        base: The model; its own weights stay as they are.
        dataset: Prompts, targets and references.
        pack: Detector and reward embedder.
        out: Gets `lora.safetensors`, `metrics.jsonl` (a line each `log_every` steps) and, at the
            end, `manifest.json`.
        progress: Called with `phase` (`encode` or `train`), `done`, `total`, and each line of
            metrics.

    Returns:
        `digest` (sha256 of the weights), `steps`, `seconds`, `samples`, `left_out`, `last` (the
        last line of metrics).

    Raises:
        UsageError: The dataset cannot be trained on.
        UmoError: The loss or its gradient is not finite; the weights saved last stay in `out`.
    """
    started = time.perf_counter()
    report = progress or (lambda line: None)
    device = device_of(base.transformer)
    base.without_lora()
    encoded = encode_dataset(dataset, base, pack, config.goal, report)
    parameters = base.add_lora(config.rank, seed=config.seed)
    optimizer = torch.optim.AdamW(
        parameters, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay
    )
    warmup = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / max(1, config.warmup))
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)
    (out / METRICS).unlink(missing_ok=True)
    objective = Objective(config, base, pack)
    line: dict[str, Any] = {}
    steps = batches(encoded.groups, config.batch, config.seed)
    with _deterministic(device):
        for step in range(1, config.steps + 1):
            loss = objective.backward(*next(steps), parameters)
            norm = nn.utils.clip_grad_norm_(parameters, config.clip).item()
            if not math.isfinite(loss) or not math.isfinite(norm):
                raise UmoError(
                    f"step {step}: the loss {loss} or its gradient's norm {norm} is not finite",
                    hint=f"lower lr ({config.lr}); weights saved before stay in {out}",
                )
            optimizer.step()
            warmup.step()
            optimizer.zero_grad()
            objective.meter.add(loss=loss, grad_norm=norm)
            elapsed = time.perf_counter() - started
            done = step == config.steps or elapsed > (config.max_seconds or math.inf)
            if step % config.log_every == 0 or done:
                line = {"step": step, "elapsed": elapsed, **objective.meter.take()}
                append_line(out / METRICS, line)
                report({"phase": "train", "done": step, "total": config.steps, **line})
            if step % config.save_every == 0 or done:
                base.save_lora(out / LORA)
            if done:
                break
    result = {
        "digest": sha256(out / LORA),
        "steps": step,
        "samples": sum(len(group) for group in encoded.groups),
        "left_out": encoded.left_out,
    }
    _write_manifest(out, config, base, dataset, pack, result)
    return {**result, "seconds": time.perf_counter() - started, "last": line}


class Objective:
    """The loss of a batch and its gradient.

    Args:
        config: What to optimise.
        base: The model with its LoRA.
        pack: Detector and reward embedder.
    """

    def __init__(self, config: RereflConfig, base: ReferenceModel, pack: FacePack) -> None:
        self.config = config
        self.base = base
        self.pack = pack
        self.device = device_of(base.transformer)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.meter = Meter(self.device)

    def backward(self, group: Group, rows: Tensor, parameters: list[nn.Parameter]) -> float:
        """Add the gradient of samples `rows` to the parameters; the value of the loss."""
        config, total = self.config, 0.0
        if config.reward != "none":
            results = self.rewards(group, rows)
            loss = -config.reward_weight * torch.stack([r.reward for r in results]).mean()
            with self.meter.clock("backward"):
                if loss.requires_grad:
                    torch.autograd.backward(loss, inputs=parameters)
            total += loss.item()
            self._record(results)
        if config.anchor:
            with self.meter.clock("anchor"):
                matching = self.flow_matching(group, rows)
                torch.autograd.backward(config.anchor * matching, inputs=parameters)
            total += config.anchor * matching.item()
            self.meter.add(flow_matching=matching.item())
        self.meter.count(len(rows))
        return total

    def rewards(self, group: Group, rows: Tensor) -> list[MatchingResult]:
        """Rewards of `len(rows) * points` pictures, with gradient through one step of each.

        Raises:
            UmoError: A picture is not finite.
        """
        config, base, meter = self.config, self.base, self.meter
        conditioning = group.conditioning[rows]
        sigmas = base.sigmas(config.rollout_steps, group.height, group.width).to(self.device)
        stops = draw_stops(config, len(rows), self.generator)
        with meter.clock("rollout"):
            noise = start_noise(base, group.height, group.width, [self.generator] * len(rows))
            latents = denoise(base, noise, conditioning, sigmas, stops, guidance=config.guidance)
        each = torch.arange(len(rows)).repeat_interleave(config.points)
        with meter.clock("step"):
            clean = predict_clean(
                base,
                latents.flatten(0, 1),
                sigmas[stops.flatten().to(self.device)],
                conditioning[each],
                guidance=config.guidance,
            )
            pictures = base.decode(clean)
            if not bool(pictures.isfinite().all()):
                raise UmoError(
                    "a roll-out painted a picture that is not finite",
                    hint=f"lower lr ({config.lr})",
                )
        with meter.clock("reward"):
            faces = detect_float(self.pack.detector, pictures)
            found = embed_faces(pictures, faces, self.pack.reward)
            goals = [group.goals[row] for row in rows[each].tolist()]
            if config.reward == "single":
                return single_rewards(goals, found)
            return matching_rewards(goals, found, config.matching)

    def flow_matching(self, group: Group, rows: Tensor) -> Tensor:
        """The base's own loss: mean squared error of the velocity at table noise levels."""
        clean = group.latents[rows]
        table = self.base.sigmas(TABLE_STEPS, group.height, group.width)
        levels = torch.randint(0, len(table), (len(rows),), generator=self.generator)
        sigma = table[levels].to(self.device)
        noise = torch.randn(clean.shape, generator=self.generator).to(self.device)
        scale = sigma[:, None, None, None]
        velocity = self.base.velocity(
            (1 - scale) * clean + scale * noise,
            sigma,
            group.conditioning[rows],
            guidance=self.config.anchor_guidance,
        )
        return nn.functional.mse_loss(velocity.float(), noise - clean)

    def _record(self, results: Sequence[MatchingResult]) -> None:
        for result in results:
            self.meter.add(
                reward=result.reward.item(),
                matched=result.matched,
                mismatched=result.mismatched,
                missing=result.missing,
                faces=result.similarity.shape[1],
            )


def draw_stops(config: RereflConfig, count: int, generator: torch.Generator) -> Tensor:
    """Step indices `[count,points]` from the noise end, uniform in the window, each once a row."""
    first, last = config.window
    scores = torch.rand(count, last - first + 1, generator=generator)
    from_clean = first + scores.argsort(dim=1)[:, : config.points]
    return config.rollout_steps - from_clean


def _write_manifest(
    out: Path,
    config: RereflConfig,
    base: ReferenceModel,
    dataset: Dataset,
    pack: FacePack,
    result: dict[str, Any],
) -> None:
    facts: dict[str, Any] = {
        "kind": "lora",
        "config": to_mapping(config),
        "base": {"name": base.name, "digest": base.digest},
        "data": dataset.digest,
        "face_pack": {"name": pack.name, "digest": pack.digest},
        "seed": config.seed,
        "code": code_version(),
        "weights": result["digest"],
        "training": result,
        "machine": machine(device_of(base.transformer)),
    }
    write_manifest(out, facts)


@contextmanager
def _deterministic(device: torch.device) -> Iterator[None]:
    """Deterministic algorithms on the CPU; on a GPU the warp's gradient has none."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(device.type == "cpu")
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
