"""The default beside the paper's setting for UNO: as many seconds each, judged together.

    python tests/benchmarks/training/equal_time.py runs/equal-time docs/benchmarks/equal-time.json

`paper` is the published setting to the letter. `paper, our lr` keeps its reward, its roll-out and
its one picture from each, but learns as fast as the default does: 5e-6 is meant for 12 billion
parameters and many hours.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from umo.files import read_manifest, write_text
from umo.rewards.matching import MatchingConfig
from umo.steps import evaluate, synthesize, train
from umo.steps.layout import Layout
from umo.steps.run import RunConfig
from umo.training.config import RereflConfig

SEEDS = (0, 1, 2)
PAPER = RereflConfig(
    matching=MatchingConfig(),
    points=1,
    rank=512,
    lr=5e-6,
    reward_weight=1.0,
    rollout_steps=25,
    window=(1, 10),
)
FASTER = replace(PAPER, rank=RereflConfig().rank, lr=RereflConfig().lr)
ENDLESS = 1_000_000


def main(out: Path, result: Path) -> None:
    """Tune every arm with every seed and write the table."""
    run, layout = RunConfig(), Layout(out)
    synthesize.run(run.tune, folder=layout.data("tune"))
    synthesize.run(run.held_out, folder=layout.data("held-out"))
    seeds = {seed: one_seed(run, layout, seed) for seed in SEEDS}
    arms = list(seeds[SEEDS[0]])
    table = {
        arm: {
            name: {"mean": fmean(found), "deviation": pstdev(found)}
            for name in ("id_sim", "id_conf", "steps", "seconds")
            if (found := [seed[arm][name] for seed in seeds.values() if name in seed[arm]])
        }
        for arm in arms
    }
    write_text(result, json.dumps({"seeds": seeds, "table": table}, indent=1) + "\n")
    print(json.dumps(table, indent=1))


def one_seed(run: RunConfig, layout: Layout, seed: int) -> dict[str, dict[str, Any]]:
    """Scores, steps and seconds of each arm."""
    folders: dict[str, Path] = {}
    facts: dict[str, dict[str, Any]] = {"base": {}}
    seconds = None
    for arm, config in {"default": run.train, "paper": PAPER, "paper-our-lr": FASTER}.items():
        folders[arm] = layout.out / arm / f"seed-{seed}"
        if seconds:
            config = replace(config, steps=ENDLESS, max_seconds=seconds)
        train.run(
            replace(config, seed=seed),
            base=run.base,
            pack=run.pack,
            data=layout.data("tune"),
            folder=folders[arm],
        )
        training = read_manifest(folders[arm])["training"]
        lines = (folders[arm] / "metrics.jsonl").read_text().splitlines()
        facts[arm] = {"steps": training["steps"], "seconds": json.loads(lines[-1])["elapsed"]}
        seconds = seconds or facts[arm]["seconds"]
    folder = layout.evaluation / f"seed-{seed}"
    evaluate.run(
        run.evaluation,
        base=run.base,
        pack=run.pack,
        data=layout.data("held-out"),
        tuned=folders,
        folder=folder,
    )
    models = json.loads((folder / "summary.json").read_text())["models"]
    for arm, known in facts.items():
        known.update(models[arm]["judge"], faces=models[arm]["faces_found"])
    return facts


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
