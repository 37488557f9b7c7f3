"""Whether training on what `umo data` makes is better than training on renders alone.

Two arms with as many samples, steps and seeds, and the same settings:

- `renders`: people of the renderer;
- `mixture`: a third each of renders, of groups that the base paints with the shipped reference
  LoRA (`umo data generate`, default filter), and of photographs (`umo data harvest`), merged, and
  balanced by number of people.

They are judged on people whom neither has seen: rendered ones, ten people of the photographs that
were harvested, and photo-like people of another source. Every difference is paired by item, over
the pictures of all seeds. What is finished in the folder is not done again; take another folder for
other numbers.

    python tests/benchmarks/data/training.py runs/mixture docs/benchmarks/data.json 60 8 64 0 1 2

The numbers are steps of training, samples in a step, items of each held-out set, and the seeds.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.data import photographs
from umo.config import to_mapping
from umo.data.collect import balance, merge
from umo.data.generate import GenerateConfig
from umo.data.render import RenderConfig
from umo.data.shards import Dataset
from umo.evaluation.evaluate import EvaluationConfig
from umo.evaluation.heldout import read_items, scale
from umo.evaluation.metrics import METRICS, Values, bootstrap
from umo.faces.packs import FacePack, load_pack
from umo.files import MANIFEST, write_text
from umo.harvest.harvest import HarvestConfig
from umo.harvest.sources import Source
from umo.harvest.units import UnitConfig
from umo.steps import evaluate, generate, harvest, synthesize, train
from umo.steps.evaluate import REFERENCE
from umo.steps.journal import ignore
from umo.training.config import RereflConfig

PART = 64
"""Renders and photographs of groups in the mixture; half of twice as many paintings remain."""
TUNED_ON = 30
"""Of the forty people of the photographs; the others are judged on."""
PEOPLE = {2: 0.6, 3: 0.4}
"""Share of the samples by number of people, as by default."""
BASE, PACK = "embedded", "open"


def main(out: Path, result: Path, steps: int, batch: int, items: int, *seeds: int) -> None:
    """Make the data, tune both arms with every seed, judge, and write the table."""
    pack = load_pack(PACK)
    orl = cache(partial(photographs.orl, pack))
    parts = {
        "rendered": rendered(out / "rendered", "tune", PART),
        "generated": generated(out / "generated"),
        "harvested": harvested(lambda: dict(list(orl().items())[:TUNED_ON]), out / "harvested"),
    }
    arms = {"mixture": mixed(list(parts.values()), out)}
    count = len(Dataset(arms["mixture"]))
    arms = {"renders": rendered(out / "renders", "tune", count), **arms}
    held_out = {
        "same photographs": photos(
            lambda: dict(list(orl().items())[TUNED_ON:]), items, out / "held-out-same", pack
        ),
        "other photographs": photos(
            partial(photographs.openpeople, pack), items, out / "held-out-other", pack
        ),
        "renders": rendered(out / "held-out-renders", "held-out", items),
    }
    facts: dict[str, Any] = {
        "machine": f"torch {torch.__version__}, {torch.get_num_threads()} threads",
        "settings": {"base": BASE, "pack": PACK, "train": to_mapping(config(steps, batch, 0))},
        "parts": {name: about(folder, pack) for name, folder in parts.items()},
        "samples": {arm: about(folder, pack) for arm, folder in arms.items()},
        "held_out": {name: about(folder, pack) for name, folder in held_out.items()},
    }
    write_text(result, json.dumps(facts, indent=1) + "\n")
    tuned = {
        seed: {arm: tune(config(steps, batch, seed), arm, data, out) for arm, data in arms.items()}
        for seed in seeds
    }
    facts["reward"] = {arm: [curve(tuned[seed][arm]) for seed in seeds] for arm in arms}
    facts["judged"] = {}
    for name, data in held_out.items():
        facts["judged"][name] = judged([judge(data, tuned[seed], seed, out) for seed in seeds])
        write_text(result, json.dumps(facts, indent=1) + "\n")
        print(name, json.dumps(facts["judged"][name], indent=1), flush=True)


def tune(settings: RereflConfig, arm: str, data: Path, out: Path) -> Path:
    """The folder of an arm's LoRA."""
    folder = out / "train" / f"{arm}-{settings.seed}"
    train.run(
        settings,
        base=BASE,
        pack=PACK,
        data=data,
        folder=folder,
        progress=told(folder.name),
        cache=out / "cache",
    )
    return folder


def judge(data: Path, tuned: Mapping[str, Path], seed: int, out: Path) -> Path:
    """The folder of the scores of base and both arms of one seed."""
    folder = out / "evaluation" / f"{data.name}-{seed}"
    evaluate.run(
        EvaluationConfig(),
        base=BASE,
        pack=PACK,
        data=data,
        tuned=tuned,
        folder=folder,
        progress=told(folder.name),
    )
    return folder


def config(steps: int, batch: int, seed: int) -> RereflConfig:
    """The default with such steps, no pictures painted on the way."""
    return replace(RereflConfig(), steps=steps, batch=batch, seed=seed, samples=0)


def rendered(folder: Path, split: str, samples: int) -> Path:
    """People of the renderer."""
    settings = RenderConfig(split=split, samples=samples, people=PEOPLE)
    synthesize.run(settings, folder=folder)
    return folder


def generated(folder: Path) -> Path:
    """What the base paints with the shipped LoRA and both embedders recognise."""
    generate.run(
        GenerateConfig(samples=2 * PART, people=PEOPLE),
        base=BASE,
        pack=PACK,
        folder=folder,
        tuned=REFERENCE,
        progress=told("generated"),
    )
    return folder


def harvested(people: Callable[[], photographs.Portraits], folder: Path) -> Path:
    """What a harvest makes of photographs of people and of groups of them."""
    pictures = folder.with_name(f"{folder.name}-photos")
    if not pictures.is_dir():
        photographs.write_photos(people(), PART, pictures, seed=0)
    source = Source(kind="photos", folder=pictures, licence="tests only", consent="tests only")
    harvest.run(
        HarvestConfig(units=UnitConfig(reference=photographs.TILE)),
        [source],
        folder=folder,
        labels=pictures.with_suffix(".csv"),
        progress=told("harvested"),
    )
    return folder


def mixed(parts: Sequence[Path], out: Path) -> Path:
    """The parts merged, with the wanted numbers of people."""
    merge(parts, out / "merged", mixed_licences=True)
    balance(out / "merged", out / "mixture", PEOPLE, seed=0)
    return out / "mixture"


def photos(
    people: Callable[[], photographs.Portraits], items: int, folder: Path, pack: FacePack
) -> Path:
    """Groups of people out of photographs, to judge on."""
    if not (folder / MANIFEST).is_file():
        photographs.write_held_out(people(), items, folder, pack, seed=1)
    return folder


def about(folder: Path, pack: FacePack) -> dict[str, Any]:
    """What a dataset is: size, the judge's cosines of one person and of two, what was left out."""
    kept = folder.with_name(f"{folder.name}-about.json")
    dataset = Dataset(folder)
    facts: dict[str, Any] = json.loads(kept.read_text()) if kept.is_file() else {}
    if facts.get("digest") != dataset.digest:
        facts = _about(dataset, pack)
        write_text(kept, json.dumps(facts) + "\n")
    return facts


def _about(dataset: Dataset, pack: FacePack) -> dict[str, Any]:
    harvest_facts = dataset.manifest.get("harvest", {})
    return {
        "digest": dataset.digest,
        "samples": len(dataset),
        **{name: dataset.manifest["statistics"][name] for name in ("identities", "people")},
        "source": dataset.manifest["statistics"]["source"],
        "cosines": scale(read_items(dataset, pack, 8, ignore)),
        **{
            name: dataset.manifest[name]
            for name in ("candidates", "accepted_share", "rejected")
            if name in dataset.manifest
        },
        **{
            name: harvest_facts[name]
            for name in ("check", "counts", "known_people", "pictures_rejected")
            if name in harvest_facts
        },
    }


def curve(folder: Path) -> list[list[float]]:
    """Step, reward, matched and mismatched cosine, and seconds of each line of a run."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    names = ("step", "reward", "matched", "mismatched", "elapsed")
    return [[line[name] for name in names] for line in lines]


def judged(folders: Sequence[Path]) -> dict[str, Any]:
    """Scores of each model, of each arm over the seeds, and the mixture's paired difference."""
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in folders]
    scores = [json.loads((folder / "scores.json").read_text()) for folder in folders]
    seeds = [
        {
            label: {**found["judge"], "faces_found": found["faces_found"]}
            for label, found in summary["models"].items()
        }
        for summary in summaries
    ]
    return {
        "items": summaries[0]["items"],
        "faces_expected": summaries[0]["models"]["base"]["faces_expected"],
        "the people themselves": summaries[0]["dataset"]["judge"],
        "base": seeds[0]["base"],
        **{
            arm: {
                name: {"mean": fmean(found), "deviation": pstdev(found)}
                for name in (*METRICS, "faces_found")
                if (found := [float(seed[arm][name]) for seed in seeds])
            }
            for arm in ("renders", "mixture")
        },
        "difference": {name: difference(scores, name) for name in METRICS},
        "difference where nobody is lost": {
            name: difference(scores, name, whole=True) for name in METRICS
        },
        "seeds": seeds,
    }


def difference(
    scores: Sequence[Sequence[Mapping[str, Any]]], name: str, *, whole: bool = False
) -> dict[str, float]:
    """The mixture's mean of a metric by the judge minus the renders', items drawn anew.

    Args:
        scores: Of each seed, in the order of the items.
        name: The metric.
        whole: Whether only pictures count in which both arms painted everybody's face.
    """
    metric = METRICS[name]

    def values(arm: str) -> list[Values]:
        return [
            np.concatenate(
                [
                    np.zeros(0),
                    *(
                        pictured(item["models"][arm], metric)
                        for item in of_seeds
                        if not (whole and loses(item))
                    ),
                ]
            )
            for of_seeds in zip(*scores, strict=True)
        ]

    return asdict(bootstrap(values("mixture"), values("renders"), rng=np.random.default_rng(0)))


def loses(item: Mapping[str, Any]) -> bool:
    """Whether an arm's picture of an item has fewer faces than people."""
    return any(
        len(picture["boxes"]) < len(item["identities"])
        for arm in ("renders", "mixture")
        for picture in item["models"][arm]
    )


def pictured(pictures: Sequence[Mapping[str, Any]], metric: Callable[[Values], Values]) -> Values:
    """A metric of every reference in the pictures of an item by one model."""
    people = len(pictures[0]["judge"]["similarity"])
    return np.concatenate(
        [
            metric(np.array(picture["judge"]["similarity"], float).reshape(people, -1))
            for picture in pictures
        ]
    )


def told(what: str) -> Callable[[dict[str, Any]], None]:
    """Prints how far something is."""

    def line(facts: dict[str, Any]) -> None:
        if facts.get("phase") != "encode":
            print(what, facts.get("phase", ""), f"{facts['done']} of {facts['total']}", flush=True)

    return line


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
