"""The loss of a batch, its gradient, and the random numbers it is drawn with."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from umo.bases.protocol import LEVELS, Conditioning, ReferenceModel
from umo.errors import UmoError
from umo.faces.packs import FacePack, detect_float, embed_faces
from umo.rewards.matching import MatchingResult, matching_rewards
from umo.rewards.shaping import hinge
from umo.rewards.single import single_rewards
from umo.training.cache import Group
from umo.training.config import RereflConfig
from umo.training.draws import Draws, draw_stops
from umo.training.log import Meter
from umo.training.memory import FULL, Precision
from umo.training.mixture import Mixture
from umo.training.operations import Cost, operations
from umo.training.parallel import World
from umo.training.rollout import (
    RolledOut,
    denoise,
    last_steps,
    predict_clean,
    redraw,
    straight_through,
)


@dataclass(frozen=True, kw_only=True)
class FlowPoint:
    """Where a velocity is asked for."""

    latents: Tensor
    """`[B,C,h,w]`."""
    sigma: Tensor
    """`[B]`."""
    conditioning: Conditioning
    """Of the same `B` samples."""


@dataclass(kw_only=True)
class Outcome:
    """What this process adds to the loss and the means of a batch."""

    loss: float = 0.0
    reward: float = 0.0
    judge: float = 0.0
    faces: int = 0
    """Found in all its pictures."""


class Objective:
    """The loss of a batch and its gradient.

    Args:
        config: What to optimise.
        base: The model with its LoRA.
        pack: Detector and reward embedder.
        world: Who else trains.
        precision: Of the forward passes of the base.
        costs: What a sample of each group costs, by the group's id.
        mixture: What is rewarded beside identity, if anything.
    """

    def __init__(
        self,
        config: RereflConfig,
        base: ReferenceModel,
        pack: FacePack,
        world: World | None = None,
        precision: Precision = FULL,
        costs: Mapping[int, Cost] | None = None,
        mixture: Mixture | None = None,
    ) -> None:
        self.config = config
        self.base = base
        self.pack = pack
        self.world = world or World()
        self.precision = precision
        self.generator = torch.Generator().manual_seed(config.seed)
        self.meter = Meter(self.world.device)
        self._costs = costs or {}
        self._mixture = mixture

    def draw(self, group: Group, count: int) -> Draws:
        """The random numbers of the next batch, the same in every process."""
        config, generator = self.config, self.generator
        shape = self.base.latent_shape(group.height, group.width)
        stops = start = redrawn = levels = noise = None
        if config.reward != "none":
            stops = draw_stops(config, count, generator)
            start = torch.stack([torch.randn(shape, generator=generator) for _ in range(count)])
            if config.picture == "redrawn":
                redrawn = torch.randn((count, config.points, *shape), generator=generator)
        if config.anchor or config.velocity_anchor:
            levels = torch.randint(0, LEVELS, (count,), generator=generator)
            noise = torch.randn((count, *shape), generator=generator)
        return Draws(stops=stops, start=start, redrawn=redrawn, levels=levels, noise=noise)

    def backward(
        self, group: Group, rows: Tensor, *, look: bool = False, drift: bool = False
    ) -> Outcome:
        """Add the gradient of samples `rows` to the parameters.

        Args:
            group: Where the samples are.
            rows: The batch.
            look: Whether the judge looks at the pictures.
            drift: Whether to measure how far the velocities are from those without LoRA.
        """
        config, outcome = self.config, Outcome()
        draws = self.draw(group, len(rows))
        passes = self.world.parts(len(rows), config.micro_batch)
        if config.reward != "none":
            own = torch.cat([places for places, _ in passes]).unique()
            rolled = self.roll_out(group, rows, draws, own)
            for (places, share), points in itertools.product(passes, self._points()):
                results, pictures, judged = self.rewards(
                    group, rows, rolled.only(places, points), look=look
                )
                rewards = torch.stack([result.reward for result in results])
                part = share * len(points) / config.points
                paid = hinge(rewards, config.hinge)
                if self._mixture:
                    each = rows[places].repeat_interleave(len(points))
                    paid = paid + self._others(self._mixture, group, each, pictures, part)
                loss = -config.reward_weight * paid.mean() * part
                if self.world.lock_step:
                    loss = loss + 0.0 * pictures.mean()
                with self.meter.clock("backward"):
                    if loss.requires_grad:
                        loss.backward()
                outcome.loss += loss.item()
                outcome.faces += sum(result.similarity.shape[1] for result in results)
                outcome.reward += rewards.mean().item() * part
                outcome.judge += sum(r.reward.item() for r in judged) / len(results) * part
                self.meter.record(results, judged, part)
        for places, share in passes:
            if config.anchor or config.velocity_anchor:
                with self.meter.clock("anchor"):
                    outcome.loss += self._anchor(group, rows[places], draws, places, share, drift)
            if share:
                self.meter.count(len(places), self._operations(group, draws, places))
        return outcome

    def roll_out(self, group: Group, rows: Tensor, draws: Draws, places: Tensor) -> RolledOut:
        """Roll out samples `places` of the batch `rows`, all together and without gradient."""
        config, base = self.config, self.base
        assert draws.stops is not None
        assert draws.start is not None
        device, end = group.latents.device, config.rollout_steps
        stops = draws.stops[places]
        if config.picture == "last-steps":
            stops = draws.stops[:1].expand(len(places), 1)
        last = torch.full((len(places), 1), end)
        kept = {"redrawn": last, "endpoint": torch.cat([stops, last], dim=1)}
        calls = end if config.picture in kept else int(draws.stops.max())
        with self.meter.clock("rollout"), self.precision.autocast(device):
            latents = denoise(
                base,
                draws.start[places].to(device),
                group.conditioning[rows[places]],
                base.sigmas(end, group.height, group.width).to(device),
                kept.get(config.picture, stops),
                guidance=config.guidance,
                calls=calls if self.world.lock_step else None,
            )
        ends = None
        if config.picture == "endpoint":
            latents, ends = latents[:, :-1], latents[:, -1]
        return RolledOut(
            places=places,
            points=torch.arange(stops.shape[1]),
            latents=latents,
            stops=stops,
            noise=None if draws.redrawn is None else draws.redrawn[places],
            ends=ends,
        )

    def rewards(
        self, group: Group, rows: Tensor, rolled: RolledOut, *, look: bool = False
    ) -> tuple[list[MatchingResult], Tensor, list[MatchingResult]]:
        """Rewards of the pictures of some roll-outs, with gradient to the LoRA.

        Args:
            group: Where the samples are.
            rows: The batch.
            rolled: The roll-outs of `n` of its samples, with `p` pictures each.
            look: Whether the judge looks at the pictures too.

        Returns:
            The rewards, the pictures `[n*p,3,H,W]`, and what the judge says of each, if it looks.

        Raises:
            UmoError: A picture is not finite.
        """
        config, meter = self.config, self.meter
        mine = rows[rolled.places]
        clean = self._paint(group, mine, rolled)
        with meter.clock("step"), self.precision.autocast(clean.device):
            pictures = self.base.decode(clean).float()
            if not bool(pictures.isfinite().all()):
                raise UmoError(
                    "a roll-out painted a picture that is not finite",
                    hint=f"lower lr ({config.lr})",
                )
        each = mine.repeat_interleave(len(rolled.points)).tolist()
        with meter.clock("reward"):
            faces = detect_float(self.pack.detector, pictures)
            found = embed_faces(pictures, faces, self.pack.reward)
            results = self._compare([group.goals[row] for row in each], found)
        judged: list[MatchingResult] = []
        if look:
            with meter.clock("judge"), torch.no_grad():
                seen = embed_faces(pictures.detach(), faces, self.pack.judge)
                judged = self._compare([group.judge_goals[row] for row in each], seen)
        return results, pictures, judged

    def flow_matching(
        self, group: Group, mine: Tensor, draws: Draws, places: Tensor
    ) -> tuple[Tensor, Tensor, FlowPoint]:
        """The base's own loss: mean squared error of the velocity at table noise levels.

        Returns:
            The loss, the velocities `[B,C,h,w]`, and what they were asked for.
        """
        assert draws.levels is not None
        assert draws.noise is not None
        clean = group.latents[mine]
        table = self.base.training_sigmas(group.height, group.width)
        sigma = table[draws.levels[places]].to(clean.device)
        noise = draws.noise[places].to(clean.device)
        scale = sigma[:, None, None, None]
        point = FlowPoint(
            latents=(1 - scale) * clean + scale * noise,
            sigma=sigma,
            conditioning=group.conditioning[mine],
        )
        velocity = self._velocity(point)
        return nn.functional.mse_loss(velocity, noise - clean), velocity, point

    def _paint(self, group: Group, mine: Tensor, rolled: RolledOut) -> Tensor:
        """Clean latents `[n*p,C,h,w]` of the pictures to reward, those of a sample together."""
        config, base = self.config, self.base
        conditioning = group.conditioning[mine]
        device = rolled.latents.device
        sigmas = base.sigmas(config.rollout_steps, group.height, group.width).to(device)
        points = rolled.stops.shape[1]
        each = torch.arange(len(mine)).repeat_interleave(points)
        with self.meter.clock("step"), self.precision.autocast(device):
            if config.picture == "last-steps":
                rest = sigmas[int(rolled.stops[0, 0]) :]
                return last_steps(
                    base, rolled.latents[:, 0], conditioning, rest, guidance=config.guidance
                )
            if rolled.noise is not None:
                begin = redraw(rolled.latents, sigmas[-2], rolled.noise.to(device))
                at = sigmas[-2].expand(len(each))
            else:
                begin = rolled.latents
                at = sigmas[rolled.stops.flatten().to(device)]
            clean = predict_clean(
                base, begin.flatten(0, 1), at, conditioning[each], guidance=config.guidance
            )
            return clean if rolled.ends is None else straight_through(rolled.ends[each], clean)

    def _points(self) -> list[Tensor]:
        """The pictures of a sample that are painted in one pass: all, or one where it is small."""
        points = torch.arange(self.config.points)
        return [points] if self.config.micro_batch is None else list(points.split(1))

    def _others(
        self, mixture: Mixture, group: Group, each: Tensor, pictures: Tensor, part: float
    ) -> Tensor:
        with self.meter.clock("reward"):
            found = mixture(group, each, pictures)
        self.meter.add(part, **{name: values.mean().item() for name, values in found.items()})
        return mixture.weighted(found)

    def _operations(self, group: Group, draws: Draws, places: Tensor) -> float:
        stops = draws.stops
        if stops is not None:
            same = self.config.picture == "last-steps"
            stops = stops[:1].expand(len(places), 1) if same else stops[places]
        cost = self._costs.get(id(group), Cost())
        return operations(cost, self.config, stops, len(places))

    def _compare(self, goals: list[Tensor], found: list[Tensor]) -> list[MatchingResult]:
        if self.config.reward == "single":
            return single_rewards(goals, found)
        return matching_rewards(goals, found, self.config.matching)

    def _anchor(
        self,
        group: Group,
        mine: Tensor,
        draws: Draws,
        places: Tensor,
        share: float,
        drift: bool,
    ) -> float:
        """Add the gradient of the anchors; their value.

        `anchor * |v - (noise - x0)|^2 + velocity_anchor * |v - v_base|^2`, the second one the
        distance to the model without LoRA at the same place.
        """
        config = self.config
        matching, velocity, point = self.flow_matching(group, mine, draws, places)
        loss = config.anchor * matching
        self.meter.add(share, flow_matching=matching.item())
        if config.velocity_anchor or drift:
            with self.base.lora_off(), torch.no_grad():
                before = self._velocity(point)
            distance = velocity_distance(velocity, before)
            self.meter.add(share, drift=distance.item())
            if config.velocity_anchor:
                loss = loss + config.velocity_anchor * distance
        loss = loss * share
        loss.backward()
        return loss.item()

    def _velocity(self, point: FlowPoint) -> Tensor:
        with self.precision.autocast(point.latents.device):
            return self.base.velocity(
                point.latents,
                point.sigma,
                point.conditioning,
                guidance=self.config.anchor_guidance,
            ).float()


def velocity_distance(velocity: Tensor, other: Tensor) -> Tensor:
    """Mean squared difference of velocities `[B,C,h,w]`.

    The reverse KL divergence of two flow models is a weighted integral of it (as in Flow-GRPO,
    arXiv 2505.05470), so it anchors a tuned model to the one it comes from.
    """
    return nn.functional.mse_loss(velocity, other)
