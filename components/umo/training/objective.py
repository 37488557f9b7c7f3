"""The loss of a batch, its gradient, and the random numbers it is drawn with."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from umo.bases.protocol import ReferenceModel
from umo.errors import UmoError
from umo.faces.packs import FacePack, detect_float, embed_faces
from umo.rewards.matching import MatchingResult, matching_rewards
from umo.rewards.single import single_rewards
from umo.training.cache import Group
from umo.training.config import RereflConfig
from umo.training.log import Meter
from umo.training.parallel import World
from umo.training.rollout import denoise, predict_clean

TABLE_STEPS = 999
"""Steps of the training table of noise levels, so it has 1000 of them (as UNO's)."""


@dataclass(frozen=True, kw_only=True)
class Draws:
    """The random numbers of a batch of `B` samples, on the CPU; None where they are not needed."""

    stops: Tensor | None
    """Stop steps `[B,points]` of the roll-outs, from the noise end."""
    start: Tensor | None
    """Noise `[B,C,h,w]` that the roll-outs start from."""
    levels: Tensor | None
    """Rows `[B]` of the table of noise levels for the flow-matching loss."""
    noise: Tensor | None
    """Noise `[B,C,h,w]` of the flow-matching loss."""


class Objective:
    """The loss of a batch and its gradient.

    Args:
        config: What to optimise.
        base: The model with its LoRA.
        pack: Detector and reward embedder.
        world: Who else trains.
    """

    def __init__(
        self,
        config: RereflConfig,
        base: ReferenceModel,
        pack: FacePack,
        world: World | None = None,
    ) -> None:
        self.config = config
        self.base = base
        self.pack = pack
        self.world = world or World()
        self.generator = torch.Generator().manual_seed(config.seed)
        self.meter = Meter(self.world.device)

    def draw(self, group: Group, count: int) -> Draws:
        """The random numbers of the next batch, the same in every process."""
        shape, generator = self.base.latent_shape(group.height, group.width), self.generator
        stops = start = levels = noise = None
        if self.config.reward != "none":
            stops = draw_stops(self.config, count, generator)
            start = torch.stack([torch.randn(shape, generator=generator) for _ in range(count)])
        if self.config.anchor:
            levels = torch.randint(0, TABLE_STEPS + 1, (count,), generator=generator)
            noise = torch.randn((count, *shape), generator=generator)
        return Draws(stops=stops, start=start, levels=levels, noise=noise)

    def backward(self, group: Group, rows: Tensor) -> tuple[float, int]:
        """Add the gradient of samples `rows` to the parameters.

        Returns:
            This process's part of the loss, and the number of faces in its pictures.
        """
        config, total, faces = self.config, 0.0, 0
        draws = self.draw(group, len(rows))
        for places, share in self.world.parts(len(rows), config.micro_batch):
            if config.reward != "none":
                results, pictures = self.rewards(group, rows, draws, places)
                rewards = torch.stack([result.reward for result in results])
                loss = -config.reward_weight * rewards.mean() * share
                if self.world.lock_step:
                    loss = loss + 0.0 * pictures.mean()
                with self.meter.clock("backward"):
                    if loss.requires_grad:
                        loss.backward()
                total += loss.item()
                faces += sum(result.similarity.shape[1] for result in results)
                self._record(results, share)
            if config.anchor:
                with self.meter.clock("anchor"):
                    matching = self.flow_matching(group, rows, draws, places)
                    (config.anchor * matching * share).backward()
                total += config.anchor * matching.item() * share
                self.meter.add(share, flow_matching=matching.item())
            self.meter.count(len(places) if share else 0)
        return total, faces

    def rewards(
        self, group: Group, rows: Tensor, draws: Draws, places: Tensor
    ) -> tuple[list[MatchingResult], Tensor]:
        """Rewards of `len(places) * points` pictures, with gradient through one step of each.

        Args:
            group: Where the samples are.
            rows: The batch.
            draws: Its random numbers.
            places: Which samples of the batch.

        Returns:
            The rewards, and the pictures `[n,3,H,W]` that were rewarded.

        Raises:
            UmoError: A picture is not finite.
        """
        config, base, meter = self.config, self.base, self.meter
        assert draws.stops is not None
        assert draws.start is not None
        mine, stops = rows[places], draws.stops[places]
        conditioning = group.conditioning[mine]
        device = group.latents.device
        sigmas = base.sigmas(config.rollout_steps, group.height, group.width).to(device)
        with meter.clock("rollout"):
            latents = denoise(
                base,
                draws.start[places].to(device),
                conditioning,
                sigmas,
                stops,
                guidance=config.guidance,
                calls=int(draws.stops.max()) if self.world.lock_step else None,
            )
        each = torch.arange(len(mine)).repeat_interleave(config.points)
        with meter.clock("step"):
            clean = predict_clean(
                base,
                latents.flatten(0, 1),
                sigmas[stops.flatten().to(device)],
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
            goals = [group.goals[row] for row in mine[each].tolist()]
            if config.reward == "single":
                return single_rewards(goals, found), pictures
            return matching_rewards(goals, found, config.matching), pictures

    def flow_matching(self, group: Group, rows: Tensor, draws: Draws, places: Tensor) -> Tensor:
        """The base's own loss: mean squared error of the velocity at table noise levels."""
        assert draws.levels is not None
        assert draws.noise is not None
        mine = rows[places]
        clean = group.latents[mine]
        table = self.base.sigmas(TABLE_STEPS, group.height, group.width)
        sigma = table[draws.levels[places]].to(clean.device)
        noise = draws.noise[places].to(clean.device)
        scale = sigma[:, None, None, None]
        velocity = self.base.velocity(
            (1 - scale) * clean + scale * noise,
            sigma,
            group.conditioning[mine],
            guidance=self.config.anchor_guidance,
        )
        return nn.functional.mse_loss(velocity.float(), noise - clean)

    def _record(self, results: Sequence[MatchingResult], share: float) -> None:
        for result in results:
            self.meter.add(
                share / len(results),
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
