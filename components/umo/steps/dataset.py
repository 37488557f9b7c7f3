"""Step: make a dataset of photos and videos, or of what a base paints, in shares of the work.

Any number of processes do a share each, in any order; then one makes the dataset of what they did,
with the bytes that it would have if one had done all.
"""

from dataclasses import dataclass, field
from pathlib import Path

from umo.data.generate import GenerateConfig
from umo.data.share import Share
from umo.errors import UsageError
from umo.harvest.harvest import HarvestConfig
from umo.harvest.sources import Source
from umo.steps import generate, harvest
from umo.steps.journal import Outcome, Progress, ignore


@dataclass(frozen=True, kw_only=True)
class Harvest:
    """What to harvest."""

    sources: tuple[Source, ...]
    settings: HarvestConfig = field(default_factory=HarvestConfig)


@dataclass(frozen=True, kw_only=True)
class Generation:
    """What to have painted."""

    base: str = "embedded"
    """`embedded` or a folder."""
    pack: str = "open"
    """Face pack that filters."""
    tuned: Path | None = None
    """Folder that `umo train` wrote; its LoRA paints."""
    settings: GenerateConfig = field(default_factory=GenerateConfig)


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """How a dataset is made: one of the two."""

    harvest: Harvest | None = None
    generate: Generation | None = None

    def __post_init__(self) -> None:
        if (self.harvest is None) == (self.generate is None):
            raise UsageError(
                "a dataset is made by `harvest` or by `generate`",
                hint="give the settings of one, for example --set generate.base=embedded",
            )


def work(
    config: DatasetConfig, share: Share, *, folder: Path, progress: Progress = ignore
) -> Outcome:
    """Do a share of the work for the dataset `folder`, unless that is there.

    Args:
        config: How the dataset is made.
        share: Which share.
        folder: Of the dataset; what is done waits beside it.
        progress: Called with `done` and `total`.
    """
    if order := config.harvest:
        return harvest.run_share(
            order.settings, order.sources, share, folder=folder, progress=progress
        )
    return _generate(config, folder, share, progress)


def collect(config: DatasetConfig, *, folder: Path, progress: Progress = ignore) -> Outcome:
    """Make the dataset of what the shares did, and do what they did not.

    Args:
        config: How the dataset is made.
        folder: Replaced, as a whole, when the dataset is new.
        progress: Called with `done` and `total`.
    """
    if order := config.harvest:
        done = harvest.run(order.settings, order.sources, folder=folder, progress=progress)
        return Outcome(folder=folder, digest=done.digest, reused=done.reused)
    return _generate(config, folder, None, progress)


def _generate(
    config: DatasetConfig, folder: Path, share: Share | None, progress: Progress
) -> Outcome:
    order = config.generate or Generation()
    return generate.run(
        order.settings,
        base=order.base,
        pack=order.pack,
        folder=folder,
        tuned=order.tuned,
        share=share,
        progress=progress,
    )
