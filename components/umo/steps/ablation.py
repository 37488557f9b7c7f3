"""The paper's ablation: base, plain fine-tuning, ReReFL with SIR, ReReFL with MIMR.

Every arm is tuned on the same data with the same settings but for the reward, once for each seed;
the arms of a seed are judged together, on the same held-out items and picture seeds. Finished parts
are reused, so an interrupted ablation goes on.

SIR is a reward of one reference, so its arm sees the same scenes cut into their people, each alone.
"""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from umo.errors import UsageError
from umo.files import write_text
from umo.steps import evaluate, synthesize, train
from umo.steps.journal import Progress, ignore
from umo.steps.layout import Layout
from umo.steps.run import RunConfig

ARMS: dict[str, Literal["none", "single", "matching"]] = {
    "fine-tuning": "none",
    "rerefl-sir": "single",
    "rerefl-mimr": "matching",
}
"""Reward of each tuned arm, in the order of the paper's table."""
PUBLISHED = {
    "base": (31.82, 61.06),
    "fine-tuning": (33.94, 62.88),
    "rerefl-sir": (65.16, 65.28),
    "rerefl-mimr": (69.09, 78.06),
}
"""ID-Sim and ID-Conf of UNO on XVerseBench multi (UMO, arXiv 2509.06818)."""
MEASURES = ("id_sim", "id_conf")
TOGETHER, ALONE = "tune", "tune-alone"
"""The scenes, and their people one by one."""


@dataclass(frozen=True, kw_only=True)
class AblationConfig:
    """Which arms' settings, how often."""

    run: RunConfig = field(default_factory=RunConfig)
    """Data, base and settings of every arm; its reward and seed are replaced."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the tuning."""

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise UsageError(
                f"seeds are {list(self.seeds)}", hint="give different ones, at least 1"
            )


def ablation(config: AblationConfig, out: Path, progress: Progress = ignore) -> dict[str, Any]:
    """Tune and judge every arm with every seed.

    Args:
        config: What to compare.
        out: Gets the data, `<arm>/seed-<n>/`, `evaluation/seed-<n>/` (with a report each) and
            `ablation.json`, which is what is returned.
        progress: Called with `phase`, `done` and `total`.

    Returns:
        `arms` (arm -> `seeds` -> scores; `mean` and `published` -> `id_sim`, `id_conf`), `ordered`
        (whether the mean ID-Conf rises from arm to arm, as published) and `reports`.
    """
    run, layout = config.run, Layout(out)
    for split, people in ((TOGETHER, run.tune), ("held-out", run.held_out)):
        synthesize.run(people, folder=layout.data(split), progress=_phase(progress, split))
    synthesize.cut(layout.data(TOGETHER), folder=layout.data(ALONE))
    judged = {seed: _judge(config, seed, layout, progress) for seed in config.seeds}
    arms = {arm: _arm(arm, judged) for arm in PUBLISHED}
    means = [arms[arm]["mean"]["id_conf"] for arm in PUBLISHED]
    result = {
        "arms": arms,
        "ordered": all(low < high for low, high in itertools.pairwise(means)),
        "reports": [str(_evaluation(layout, seed) / "report.html") for seed in config.seeds],
    }
    write_text(out / "ablation.json", json.dumps(result, indent=1) + "\n")
    return result


def table(result: Mapping[str, Any]) -> str:
    """The result of `ablation` as text, beside the published numbers."""
    rows = [("arm", "ID-Sim", "ID-Conf", "faces", "published ID-Sim", "published ID-Conf")]
    for arm, scores in result["arms"].items():
        faces = fmean(s["faces_found"] / s["faces_expected"] for s in scores["seeds"].values())
        mean, published = scores["mean"], scores["published"]
        numbers = (mean["id_sim"], mean["id_conf"], 100 * faces)
        there = (published["id_sim"], published["id_conf"])
        rows.append((arm, *(f"{number:.2f}" for number in (*numbers, *there))))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    )


def _judge(config: AblationConfig, seed: int, layout: Layout, progress: Progress) -> dict[str, Any]:
    run = config.run
    folders = {arm: layout.out / arm / f"seed-{seed}" for arm in ARMS}
    for arm, reward in ARMS.items():
        train.run(
            replace(run.train, reward=reward, seed=seed),
            base=run.base,
            pack=run.pack,
            data=layout.data(ALONE if reward == "single" else TOGETHER),
            folder=folders[arm],
            progress=_phase(progress, f"{arm}, seed {seed}"),
        )
    evaluate.run(
        run.evaluation,
        base=run.base,
        pack=run.pack,
        data=layout.data("held-out"),
        tuned=folders,
        folder=_evaluation(layout, seed),
        progress=_phase(progress, f"evaluation, seed {seed}"),
    )
    summary: dict[str, Any] = json.loads((_evaluation(layout, seed) / "summary.json").read_text())
    return summary


def _evaluation(layout: Layout, seed: int) -> Path:
    return layout.evaluation / f"seed-{seed}"


def _arm(arm: str, judged: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    seeds = {
        str(seed): {
            **summary["models"][arm],
            "gain": summary["gain"].get(arm),
            "gap_closed": summary["gap_closed"].get(arm),
        }
        for seed, summary in judged.items()
    }
    mean = {
        measure: fmean(scores["judge"][measure] for scores in seeds.values())
        for measure in MEASURES
    }
    published = dict(zip(MEASURES, PUBLISHED[arm], strict=True))
    return {"seeds": seeds, "mean": mean, "published": published}


def _phase(progress: Progress, phase: str) -> Progress:
    return lambda facts: progress({**facts, "phase": phase})
