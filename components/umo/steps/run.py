"""The whole job: its settings and what comes out of it."""

import json
from dataclasses import dataclass, field, replace
from typing import Any

from umo.data.render import RenderConfig
from umo.errors import UsageError
from umo.evaluation.evaluate import EvaluationConfig
from umo.steps.layout import Layout
from umo.store import Store
from umo.training.rerefl import RereflConfig


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """A run from rendered people to a registered version."""

    seed: int = 0
    """Of the tuning."""
    base: str = "embedded"
    """`embedded` or a folder."""
    pack: str = "open"
    """Face pack, see `umo.faces.packs.load_pack`."""
    tune: RenderConfig = field(default_factory=lambda: RenderConfig(split="tune", samples=160))
    """People to tune on."""
    held_out: RenderConfig = field(
        default_factory=lambda: RenderConfig(split="held-out", samples=128)
    )
    """People to judge on."""
    train: RereflConfig = field(default_factory=RereflConfig)
    """How to tune; its seed is the run's."""
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    """How to judge."""
    model: str = "umo-embedded"
    """Registered as `<model>-candidates`."""

    def __post_init__(self) -> None:
        for name, expected in (("tune", "tune"), ("held_out", "held-out")):
            split = getattr(self, name).split
            if split != expected:
                raise UsageError(f"{name}.split is {split!r}, it must be {expected!r}")
        if self.train.seed not in (0, self.seed):
            raise UsageError(
                f"train.seed is {self.train.seed} and seed {self.seed}", hint="set seed alone"
            )

        if self.train.weights == "full":
            raise UsageError(
                "train.weights is 'full'",
                hint="a run registers a LoRA; for all weights use `umo train` and `umo evaluate`",
            )

    @property
    def tuning(self) -> RereflConfig:
        """How to tune, with the run's seed."""
        return replace(self.train, seed=self.seed)


def summary(layout: Layout) -> dict[str, Any]:
    """What came out of a finished run folder.

    Returns:
        `report`, `model`, `version`, `digest`, `mlflow`, `people` (held-out), `base`, `tuned` and
        `reference` (scores; None without a reference LoRA), `gain` of tuned over base by metric,
        `gap_closed` by the reference LoRA, and by this run's as `gap_closed_tuned`.
    """
    version, store = json.loads(layout.version.read_text()), Store.of_run(layout.out)
    scores = json.loads((layout.evaluation / "summary.json").read_text())
    return {
        "report": str(layout.evaluation / "report.html"),
        "model": version["model"],
        "version": version["version"],
        "digest": version["digest"],
        "mlflow": store.shown if store.file is None else str(store.file),
        "people": scores["people"],
        "base": scores["models"]["base"],
        "tuned": scores["models"]["tuned"],
        "reference": scores["models"].get("reference"),
        "gain": scores["gain"]["tuned"],
        "gap_closed": scores["gap_closed"].get("reference"),
        "gap_closed_tuned": scores["gap_closed"]["tuned"],
    }
