"""Roll-outs: Euler steps of a flow-matching model from noise to pictures.

`sigma` runs from 1 (noise) to 0 (data): `x <- x + (sigma_next - sigma) * v`, and the clean latents
seen from any step are `x0 = x - sigma * v`, with the shifted `sigma` that `model.sigmas` gives.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from umo.bases.protocol import Conditioning, ReferenceModel, device_of
from umo.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class RolledOut:
    """Where roll-outs of `n` samples stopped, without gradient; the pictures go on from there."""

    places: Tensor
    """Which samples of the batch, `[n]`."""
    points: Tensor
    """Which of their `points` pictures, `[p]`."""
    latents: Tensor
    """At the stop steps, `[n,p,C,h,w]`; or at the end, `[n,1,C,h,w]`, to be noised again."""
    stops: Tensor
    """The stop steps `[n,p]`."""
    noise: Tensor | None
    """To noise the ends with, `[n,p,C,h,w]`."""
    ends: Tensor | None
    """The ends `[n,C,h,w]`, where the reward looks at them."""

    def only(self, places: Tensor, points: Tensor) -> "RolledOut":
        """Some samples of the batch, and some pictures of each."""
        rows = torch.isin(self.places, places).nonzero().flatten()
        redrawn = self.noise is not None
        return replace(
            self,
            places=self.places[rows],
            points=points,
            latents=self.latents[rows] if redrawn else self.latents[rows][:, points],
            stops=self.stops[rows][:, points],
            noise=None if self.noise is None else self.noise[rows][:, points],
            ends=None if self.ends is None else self.ends[rows],
        )


def start_noise(
    model: ReferenceModel, height: int, width: int, generators: Sequence[torch.Generator]
) -> Tensor:
    """Noise latents `[B,C,h,w]`, one CPU generator for each picture of `height` x `width` px."""
    shape = model.latent_shape(height, width)
    noise = [torch.randn(shape, generator=generator) for generator in generators]
    return torch.stack(noise).to(device_of(model.transformer))


@torch.no_grad()
def denoise(
    model: ReferenceModel,
    latents: Tensor,
    conditioning: Conditioning,
    sigmas: Tensor,
    stops: Tensor,
    *,
    guidance: float,
    calls: int | None = None,
) -> Tensor:
    """Run Euler steps and keep each sample's latents as they are before its stop steps.

    A sample leaves the batch at its last stop, so the cost is the sum of the last stops.

    Args:
        model: The model that paints.
        latents: Noise `[B,C,h,w]`.
        conditioning: Of the same `B` samples.
        sigmas: `[steps+1]`, from 1 to 0.
        stops: Step indices `[B,K]`, 0 (noise) to `steps` (the finished picture), on the CPU.
        guidance: Guidance scale.
        calls: Call the model so often, even when no sample is left: other processes, which hold
            parts of it, still need it.

    Returns:
        Latents `[B,K,C,h,w]`, without gradient.
    """
    kept = latents[:, None].repeat(1, stops.shape[1], 1, 1, 1)
    latents = latents.clone()
    last = stops.amax(dim=1)
    for step in range(int(last.max()) if calls is None else calls):
        active = torch.nonzero(last > step).flatten().tolist() or [0]
        x = latents[active]
        velocity = model.velocity(
            x, sigmas[step].expand(len(active)), conditioning[active], guidance=guidance
        )
        latents[active] = x + (sigmas[step + 1] - sigmas[step]) * velocity.to(x.dtype)
        rows, columns = torch.nonzero(stops == step + 1, as_tuple=True)
        kept[rows, columns] = latents[rows]
    return kept


def predict_clean(
    model: ReferenceModel,
    latents: Tensor,
    sigma: Tensor,
    conditioning: Conditioning,
    *,
    guidance: float,
) -> Tensor:
    """Clean latents `[B,C,h,w]` seen in one step from `latents` at `sigma` `[B]`, with gradient."""
    velocity = model.velocity(latents, sigma, conditioning, guidance=guidance)
    return latents - sigma[:, None, None, None] * velocity


def last_steps(
    model: ReferenceModel,
    latents: Tensor,
    conditioning: Conditioning,
    sigmas: Tensor,
    *,
    guidance: float,
) -> Tensor:
    """Clean latents `[B,C,h,w]` by the remaining Euler steps, all with gradient (DRaFT-K).

    `x <- x + (sigma_next - sigma) * v` from `latents` at `sigmas[0]` to `sigmas[-1] = 0`; what lies
    before is without gradient (Clark et al., arXiv 2309.17400, section 4.2; AlignProp truncates so
    too). With one step left it is the one-step prediction.

    Args:
        model: The model that paints.
        latents: `[B,C,h,w]` at the first of the sigmas.
        conditioning: Of the same `B` samples.
        sigmas: `[K+1]`, the last ones of the roll-out.
        guidance: Guidance scale.
    """
    for sigma, following in itertools.pairwise(sigmas):
        velocity = model.velocity(
            latents, sigma.expand(len(latents)), conditioning, guidance=guidance
        )
        latents = latents + (following - sigma) * velocity
    return latents


def redraw(clean: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    """Finished latents, noised again to `sigma`: what DRaFT-LV takes its last step from.

    `x = (1 - sigma) * x0 + sigma * noise` for several noises `[B,C,h,w]` gives several gradients of
    one roll-out, and their mean has less variance (Clark et al., arXiv 2309.17400, algorithm 2).
    """
    return (1 - sigma) * clean + sigma * noise


def straight_through(endpoint: Tensor, clean: Tensor) -> Tensor:
    """The value of the roll-out's own end, the gradient of the one-step prediction.

    `x = x_end + (x0 - stop(x0))`: the reward sees the picture that the model really paints, not the
    blurred guess from a middle step, and its gradient goes to the velocity at that step. After the
    lesson of FlowBP (arXiv 2606.11075) that a reward on the true endpoint beats one on the guess;
    the estimator is the straight-through one of Bengio et al. (arXiv 1308.3432).
    """
    return endpoint + (clean - clean.detach())


def sample(
    model: ReferenceModel,
    conditioning: Conditioning,
    *,
    height: int,
    width: int,
    steps: int,
    guidance: float,
    seeds: Sequence[int],
) -> Tensor:
    """Paint one picture for each seed, without gradient.

    A picture depends on its own conditioning and seed only, not on the batch it is painted in.

    Args:
        model: The model that paints.
        conditioning: One row for each seed.
        height: Of the pictures, pixels.
        width: Of the pictures, pixels.
        steps: Euler steps.
        guidance: Guidance scale.
        seeds: Of the start noise.

    Returns:
        Pictures `[B,3,height,width]`, about -1..1, not clamped.

    Raises:
        UsageError: The numbers of seeds and of conditioning rows differ, or `steps` is below 1.
    """
    if len(seeds) != len(conditioning):
        raise UsageError(f"{len(seeds)} seeds for {len(conditioning)} prompts")
    if steps < 1:
        raise UsageError(f"steps is {steps}", hint="paint with at least 1 step")
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    latents = start_noise(model, height, width, generators)
    sigmas = model.sigmas(steps, height, width).to(latents.device)
    stops = torch.full((len(seeds), 1), steps)
    clean = denoise(model, latents, conditioning, sigmas, stops, guidance=guidance)[:, 0]
    with torch.no_grad():
        return model.decode(clean)
