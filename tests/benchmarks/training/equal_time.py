"""The default beside other settings: as many seconds each, judged together.

What a step of each costs is measured first, in turns and in one process; every arm then gets as
many steps as fit into the seconds of the default. So it does not matter what else the machine does,
and several processes may take a seed each. What is done is not done again.

    python tests/benchmarks/training/equal_time.py paper runs/equal docs/benchmarks/equal-time.json
    python tests/benchmarks/training/equal_time.py choices runs/choices docs/benchmarks/choices.json

`paper` is UNO's published setting to the letter, whose learning rate of 5e-6 is meant for 12
billion parameters and many hours. `choices` change one thing of the default each.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import torch

from umo.bases import load_base
from umo.data.shards import Dataset
from umo.faces.packs import load_pack
from umo.files import write_text
from umo.rewards.matching import MatchingConfig
from umo.steps import evaluate, synthesize, train
from umo.steps.layout import Layout
from umo.steps.run import RunConfig
from umo.training.cache import encode_dataset
from umo.training.config import RereflConfig
from umo.training.objective import Objective

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
DEFAULT = RunConfig().train
ARMS = {
    "paper": {"default": DEFAULT, "paper": PAPER},
    "choices": {
        "default": DEFAULT,
        "published-roll-outs": replace(DEFAULT, points=1, rollout_steps=25, window=(1, 10)),
        "last-steps": replace(DEFAULT, picture="last-steps", points=1),
        "redrawn": replace(DEFAULT, picture="redrawn"),
        "endpoint": replace(DEFAULT, picture="endpoint"),
        "hinge": replace(DEFAULT, hinge=0.7),
        "velocity-anchor": replace(DEFAULT, velocity_anchor=1.0),
    },
}
TURNS = 5


def main(arms: dict[str, RereflConfig], out: Path, result: Path, seeds: Sequence[int]) -> None:
    """Tune every arm with some seeds; write the table of all seeds that are done."""
    run, layout = RunConfig(), Layout(out)
    synthesize.run(run.tune, folder=layout.data("tune"))
    synthesize.run(run.held_out, folder=layout.data("held-out"))
    measured = out / "costs.json"
    if not measured.exists():
        costs = seconds_of_a_step(run, arms, layout.data("tune"))
        write_text(measured, json.dumps(costs) + "\n")
    costs = json.loads(measured.read_text())
    arms = {
        arm: replace(config, steps=round(run.train.steps * costs["default"] / costs[arm]))
        for arm, config in arms.items()
    }
    for seed in seeds:
        scores = one_seed(run, layout, arms, seed)
        write_text(out / f"seed-{seed}.json", json.dumps(scores) + "\n")
    done = {path.stem: json.loads(path.read_text()) for path in sorted(out.glob("seed-*.json"))}
    table = {
        arm: {
            name: {"mean": fmean(found), "deviation": pstdev(found)}
            for name in ("id_sim", "id_conf")
            if (found := [seed[arm][name] for seed in done.values()])
        }
        for arm in ("base", *arms)
    }
    facts = {
        "seconds_of_a_step": costs,
        "steps": {arm: config.steps for arm, config in arms.items()},
        "table": table,
        "seeds": done,
    }
    write_text(result, json.dumps(facts, indent=1) + "\n")
    print(json.dumps(table, indent=1))


def seconds_of_a_step(
    run: RunConfig, arms: dict[str, RereflConfig], data: Path
) -> dict[str, float]:
    """Processor seconds that a step of each arm takes: the least of some turns."""
    pack = load_pack(run.pack)
    steps = {}
    for arm, config in arms.items():
        base = load_base(run.base)
        encoded = encode_dataset(Dataset(data), base, pack, config.goal, lambda line: None)
        base.add_lora(config.rank, seed=0)
        objective = Objective(config, base, pack)
        group = max(encoded.groups, key=len)
        steps[arm] = partial(objective.backward, group, torch.arange(config.batch))
    seconds: dict[str, list[float]] = {arm: [] for arm in arms}
    for _ in range(TURNS):
        for arm, step in steps.items():
            before = time.process_time()
            step()
            seconds[arm].append(time.process_time() - before)
    return {arm: min(found) for arm, found in seconds.items()}


def one_seed(
    run: RunConfig, layout: Layout, arms: dict[str, RereflConfig], seed: int
) -> dict[str, dict[str, Any]]:
    """The judge's scores of the base and of each arm."""
    folders = {arm: layout.out / arm / f"seed-{seed}" for arm in arms}
    for arm, config in arms.items():
        train.run(
            replace(config, seed=seed),
            base=run.base,
            pack=run.pack,
            data=layout.data("tune"),
            folder=folders[arm],
        )
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
    return {arm: {**models[arm]["judge"], "faces": models[arm]["faces_found"]} for arm in models}


if __name__ == "__main__":
    name, *folders = sys.argv[1:4]
    main(ARMS[name], *map(Path, folders), [int(seed) for seed in sys.argv[4:]] or SEEDS)
