"""Rewards beside identity: prompt following and picture quality, added with weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from umo.data.shards import Dataset
from umo.errors import UsageError
from umo.training.cache import Group

if TYPE_CHECKING:
    from umo.rewards.clip import Clip


@dataclass(frozen=True, kw_only=True)
class MixtureConfig:
    """What is rewarded beside identity: `reward + prompt * following + quality * quality`."""

    clip: str = ""
    """Folder of a CLIP as transformers writes it; the licence of its weights is the user's care."""
    prompt: float = 0.0
    """Weight of the cosine of picture and prompt."""
    quality: float = 0.0
    """Weight of CLIP-IQA's share of good, 0..1."""

    def __post_init__(self) -> None:
        if min(self.prompt, self.quality) < 0:
            raise UsageError(
                f"mixture.prompt is {self.prompt} and mixture.quality {self.quality}",
                hint="both must be 0 or more",
            )
        if self.used != bool(self.clip):
            raise UsageError(
                f"mixture.clip is {self.clip!r}, prompt {self.prompt} and quality {self.quality}",
                hint="name a folder and give one of the weights, or neither",
            )

    @property
    def used(self) -> bool:
        """Whether anything has a weight."""
        return bool(self.prompt or self.quality)

    def load(self) -> Clip | None:
        """The model, if anything has a weight.

        Raises:
            NotFoundError: The folder is no model.
            UsageError: It cannot be read.
        """
        from umo.rewards.clip import Clip  # transformers: not where settings are only read

        return Clip.load(Path(self.clip)) if self.used else None


class Mixture:
    """The rewards of a run beside identity.

    Args:
        config: Their weights.
        clip: What gives them, on the device of the pictures.
        dataset: Where the prompts are.
        groups: The same, encoded.
    """

    def __init__(
        self, config: MixtureConfig, clip: Clip, dataset: Dataset, groups: Sequence[Group]
    ) -> None:
        self._config = config
        self._clip = clip
        prompts = [row["prompt"] for row in dataset.rows()] if config.prompt else []
        self._prompts = {
            id(group): clip.texts([prompts[index] for index in group.indices])
            for group in (groups if config.prompt else ())
        }

    def __call__(self, group: Group, rows: Tensor, pictures: Tensor) -> dict[str, Tensor]:
        """Each reward `[n]`, not weighted, of pictures `[n,3,H,W]` of samples `rows` of a group."""
        images, found = self._clip.images(pictures), {}
        if self._config.prompt:
            found["prompt"] = (images * self._prompts[id(group)][rows]).sum(dim=1)
        if self._config.quality:
            found["quality"] = self._clip.quality(images)
        return found

    def weighted(self, rewards: dict[str, Tensor]) -> Tensor:
        """Their sum `[n]` with the config's weights."""
        weights = {"prompt": self._config.prompt, "quality": self._config.quality}
        return torch.stack([weights[name] * each for name, each in rewards.items()]).sum(dim=0)
