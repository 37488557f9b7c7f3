"""Where things are in a run folder."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The run folder `out` and its parts."""

    out: Path

    def data(self, split: str) -> Path:
        """Dataset of a split, `tune` or `held-out`."""
        return self.out / "data" / split

    def part(self, split: str, shard: int, shards: int) -> Path:
        """One of the parts of a split that is rendered by several tasks."""
        return self.out / "data" / "parts" / f"{split}-{shard}-of-{shards}"

    @property
    def made(self) -> Path:
        """The dataset of a run that makes nothing else."""
        return self.out / "data" / "made"

    @property
    def train(self) -> Path:
        """The tuned LoRA, its curves and manifest."""
        return self.out / "train"

    @property
    def evaluation(self) -> Path:
        """Scores, pictures and report."""
        return self.out / "evaluation"

    @property
    def version(self) -> Path:
        """The registered version, as JSON."""
        return self.out / "version.json"

    @property
    def logs(self) -> Path:
        """What the steps said."""
        return self.out / "logs"
