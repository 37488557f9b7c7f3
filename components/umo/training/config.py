"""How a ReReFL run is set up."""

import math
from dataclasses import dataclass, field
from typing import Literal

from umo.errors import UsageError
from umo.rewards.matching import MatchingConfig
from umo.training.cache import Goal
from umo.training.memory import Wanted
from umo.training.mixture import MixtureConfig


@dataclass(frozen=True, kw_only=True)
class RereflConfig:
    """How a LoRA is tuned; the defaults suit the embedded base."""

    reward: Literal["matching", "single", "none"] = "matching"
    """MIMR, SIR, or plain fine-tuning on the same data."""
    matching: MatchingConfig = field(default_factory=MatchingConfig.platform)
    """Weights and options of MIMR; by default on the scale of SIR (paper: `MatchingConfig()`)."""
    mixture: MixtureConfig = field(default_factory=MixtureConfig)
    """What is rewarded beside identity, by models that the user names."""
    goal: Goal = "reference"
    """Whose faces the reward compares with: the references' (paper) or the target's (its code)."""
    steps: int = 60
    """Optimiser steps."""
    batch: int = 8
    """Samples in a step, all with the same number of people."""
    points: int = 2
    """Stop steps taken from each roll-out, 1 to the length of the window."""
    weights: Literal["lora", "full"] = "lora"
    """Train a LoRA, or all weights of the transformer. The latter end in `transformer.safetensors`,
    which `umo evaluate` compares with the base; nothing exports, registers or serves them."""
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
    hinge: float | None = None
    """Reward above which a picture teaches nothing more; None (paper) has no limit."""
    velocity_anchor: float = 0.0
    """Weight of the squared distance of velocities to those of the base without LoRA."""
    judge_every: int = 0
    """Steps between looks of the judge at the pictures; 0 for none."""
    patience: int | None = None
    """Looks without a rise of the judge after which the run ends; None goes on, with an alarm."""
    rollout_steps: int = 8
    """Euler steps of a whole roll-out (T; UNO 25, OmniGen2 50)."""
    picture: Literal["one-step", "last-steps", "redrawn", "endpoint"] = "one-step"
    """What is rewarded: the one-step prediction from a stop step (paper), the end of the roll-out
    with gradient through all steps after the stop step (DRaFT-K; K is drawn from the window) or
    through the last one from `points` new noises (DRaFT-LV), or the end of the roll-out with the
    gradient of the one-step prediction (straight-through)."""
    window: tuple[int, int] = (1, 4)
    """First and last stop step (Ts, Te), counted from the clean end (UNO 1..10, OmniGen2 1..20)."""
    guidance: float = 4.0
    """Guidance of the roll-out and of the step with gradient."""
    anchor_guidance: float = 1.0
    """Guidance of the flow-matching loss."""
    seed: int = 0
    """Of the LoRA, the order of the samples, noises and steps."""
    ema: float = 0.0
    """Decay of the averaged weights, which are then the result; 0 takes the last ones."""
    micro_batch: int | None = None
    """Samples in one pass with gradient, the gradients being added up, and then one picture of each
    sample at a time; None takes all. The roll-outs, which need little memory, stay together."""
    recompute: bool = False
    """Whether the backward pass recomputes the blocks of transformer and decoder (less memory)."""
    precision: Wanted = "auto"
    """Of the base: `auto` takes bfloat16 on a GPU that computes in it, float32 elsewhere."""
    base_weights: Literal["whole", "int8"] = "whole"
    """Whether the base's linear layers keep their weights in 8 bits under the LoRA; the tuned LoRA
    fits the whole base too."""
    sharded: bool = False
    """Whether several processes share out parameters and moments (FSDP2) or each hold them all."""
    save_every: int = 20
    """Steps between checkpoints."""
    log_every: int = 5
    """Steps in a line of metrics."""
    samples: int = 4
    """Training samples of generated people that are painted, at fixed seeds, at the start and at
    each checkpoint; 0 for none."""
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
        if self.micro_batch is not None and self.micro_batch < 1:
            raise UsageError(f"micro_batch is {self.micro_batch}", hint="it must be at least 1")
        if not 0 <= self.ema < 1:
            raise UsageError(f"ema is {self.ema}", hint="it must be 0 or more and below 1")
        for name in ("lr", "clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"{name} is {getattr(self, name)}", hint="it must be above 0")
        if self.patience is not None and (self.patience < 1 or not self.judge_every):
            raise UsageError(
                f"patience is {self.patience} and judge_every {self.judge_every}",
                hint="both must be at least 1 for the judge to end a run",
            )
        for name in ("anchor", "velocity_anchor", "judge_every", "samples"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} is {getattr(self, name)}", hint="it must be 0 or more")
        if self.weights == "full" and (self.base_weights == "int8" or self.velocity_anchor):
            raise UsageError(
                f"weights is 'full', base_weights {self.base_weights!r} and velocity_anchor "
                f"{self.velocity_anchor}",
                hint="8 bits are for a frozen base, and no base is kept beside all weights: "
                "train a LoRA, or leave both out",
            )
        if self.picture == "last-steps" and self.points > 1:
            raise UsageError(
                f"picture is 'last-steps' and points {self.points}",
                hint="a roll-out has one end, so points must be 1",
            )
        if self.picture == "redrawn" and self.window[0] != 1:
            raise UsageError(
                f"picture is 'redrawn' and window begins at {self.window[0]}",
                hint="it rewards the last step, so begin the window at 1",
            )
        if self.reward == "none" and self.mixture.used:
            raise UsageError("reward is 'none' and mixture has weights: it adds to a reward")
        if self.reward == "none" and self.anchor == 0:
            raise UsageError("reward is 'none' and anchor 0, so there is nothing to learn")
