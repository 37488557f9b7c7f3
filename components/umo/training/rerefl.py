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

Dropped: UNO's prompt dropout, which serves guidance the tuned model never uses; KL and a warm
start, which the paper does not mention either.

On the CPU the same seed gives the same weights, bit for bit, at a fixed number of threads, also
when the run is killed and goes on from its checkpoints, unless `max_seconds` ends it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from umo.bases.protocol import ReferenceModel
from umo.bases.weights import LORA
from umo.data.shards import Dataset
from umo.faces.packs import FacePack
from umo.files import MANIFEST
from umo.training.checkpoint import Checkpoints
from umo.training.config import RereflConfig
from umo.training.identity import refuse_other
from umo.training.interrupt import deferred, interrupted
from umo.training.parallel import World
from umo.training.places import place_of
from umo.training.tuning import METRICS, Progress, Tuning

__all__ = ["CHECKPOINTS", "LORA", "METRICS", "RereflConfig", "train"]

CHECKPOINTS = "checkpoints"


def train(
    config: RereflConfig,
    *,
    base: ReferenceModel,
    dataset: Dataset,
    pack: FacePack,
    out: Path,
    progress: Progress | None = None,
    checkpoints: str | None = None,
    cache: Path | None = None,
    world: World | None = None,
    start: Path | None = None,
) -> dict[str, Any]:
    """Tune a LoRA on `base`, which keeps it attached, or all weights of its transformer.

    A run that was interrupted or killed goes on from its newest checkpoint when it is started again
    with the same `out`, and ends with the same weights; a finished one is only looked up.

    Args:
        config: What to optimise and how.
        base: The model; its own weights stay as they are under a LoRA.
        dataset: Prompts, targets and references.
        pack: Detector and reward embedder.
        out: Gets `lora.safetensors` or `transformer.safetensors`, `metrics.jsonl` (a line each
            `log_every` steps), `samples` (pictures at the start and at each checkpoint) and, at
            the end, `manifest.json`.
        progress: Called with `phase` (`encode` or `train`), `done`, `total`, and each line of
            metrics, or `picture`, the name of a new one in `out`.
        checkpoints: A folder or `s3://bucket/prefix`; None is `checkpoints` in `out`. They are
            removed at the end.
        cache: A folder for encoded datasets, so that each is encoded once; None keeps none.
        world: The processes that train together; None is this one alone.
        start: A LoRA file to go on from; None begins with a fresh one.

    Returns:
        `digest` (sha256 of the weights), `steps`, `seconds`, `samples`, `left_out`, `last` (the
        last line of metrics).

    Raises:
        UsageError: The dataset cannot be trained on.
        DiffersError: The checkpoints there are of other settings, data, base or face pack.
        UmoError: The loss or its gradient is not finite, or something cannot be written: the
            checkpoints made before stay. Or the run was interrupted (exit code 75).
    """
    world = world or World()
    tuning = Tuning(
        config,
        base=base,
        dataset=dataset,
        pack=pack,
        out=out,
        world=world,
        progress=progress or (lambda line: None),
        cache=cache,
        start=start,
    )
    saved = Checkpoints(place_of(checkpoints or str(out / CHECKPOINTS)), world)
    if finished := tuning.finished():
        saved.clear()
        return finished
    if (out / MANIFEST).exists():
        saved.clear()
    with _deterministic(world.device):
        with saved.newest() as checkpoint:
            if checkpoint:
                refuse_other(checkpoint, tuning.settings, out)
            tuning.begin(checkpoint)
        with deferred() as interruption:
            while not tuning.over:
                asked = tuning.step(interruption)
                if asked or tuning.over or tuning.done % config.save_every == 0:
                    tuning.save(saved)
                if asked and not tuning.over:
                    raise interrupted(tuning.done)
            result = tuning.close()
    saved.clear()
    return result


@contextmanager
def _deterministic(device: torch.device) -> Iterator[None]:
    """Deterministic algorithms on the CPU; on a GPU the warp's gradient has none."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(device.type == "cpu")
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
