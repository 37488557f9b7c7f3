"""Time the public scripts' way and ours on one set, item by item in turns.

    PYTHONPATH=tests .venv/bin/python -m benchmarks.evaluation.side_by_side --items 210

Both ways use the same networks in the same process; seconds are of the processor, so that others'
work on the machine weighs little.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from benchmarks.evaluation import pairwise
from benchmarks.evaluation.pictures import write_set
from umo.benchmarks.faces import Gallery
from umo.benchmarks.public import read_table, write_xversebench
from umo.benchmarks.score import Scorer
from umo.benchmarks.xversebench import read_xversebench
from umo.faces.packs import load_pack


def compare(items: int, side: int, pairwise_items: int, folder: Path) -> dict[str, Any]:
    """Score a set both ways.

    Args:
        items: Of the set.
        side: Of a picture, px.
        pairwise_items: How many, the first ones, are also scored the pairwise way.
        folder: For pictures and scores.

    Returns:
        Counts, seconds in all and for one item by number of people, and the largest difference of
        a score, 0 to 100.
    """
    benchmark = read_xversebench(*write_set(folder / "set", items=items, side=side)[:2])
    pictures = folder / "set/pictures"
    pack = load_pack("open")
    scorer = Scorer(benchmark, Gallery(folder / "faces", pack), "again")
    people = [person for item in benchmark.items for person in item.people]
    clock: dict[str, float] = defaultdict(float)
    slow: dict[str, tuple[pairwise.Scores, pairwise.Scores]] = {}
    with timed(clock, "references"):
        for person in people:
            scorer.likenesses.of(person)
    for number, item in enumerate(benchmark.items):
        with timed(clock, "ours", f"ours {item.group}"):
            list(scorer.look_ahead(pictures, [item], 1))
        if number < pairwise_items:
            references = {r.name.replace("/", "_"): r.file for r in item.people}
            grid = pictures / f"{item.key}_people.png"
            with timed(clock, "pairwise", f"pairwise {item.group}"):
                slow[item.key] = (
                    pairwise.id_sim(pack, references, grid),
                    pairwise.id_conf(pack, references, grid),
                )
        print(f"{number + 1}/{items}", file=sys.stderr)
    with timed(clock, "scores"):
        write_xversebench(scorer.score("set", pictures, lambda facts: None), folder, "set")
    sims, confs = (read_table(folder / f"{stem}_set.json") for stem in ("id_scores", "id_conf"))
    groups = Counter(item.group for item in benchmark.items)
    slow_groups = Counter(item.group for item in benchmark.items[:pairwise_items])
    ours = clock["references"] + clock["ours"] + clock["scores"]
    by_people = {
        people: {
            "ours": round(clock[f"ours {people}"] / groups[people], 3),
            "pairwise": round(clock[f"pairwise {people}"] / slow_groups[people], 3),
            "ratio": round(
                clock[f"pairwise {people}"]
                / slow_groups[people]
                / (clock[f"ours {people}"] / groups[people]),
                1,
            ),
        }
        for people in slow_groups
    }
    whole = sum(groups[people] * by_people[people]["pairwise"] for people in slow_groups)
    return {
        "items": items,
        "pictures": 4 * items,
        "pairwise_items": len(slow),
        "seconds_of_an_item_by_people": by_people,
        "ours_seconds": {name: round(clock[name], 2) for name in ("references", "ours", "scores")},
        "pairwise_seconds": round(clock["pairwise"], 1),
        "pairwise_seconds_of_all": round(whole, 1),
        "ratio_of_all": round(whole / ours, 1),
        "id_sim_difference": difference(sims, {key: sim for key, (sim, _) in slow.items()}, 1),
        "id_conf_difference": difference(confs, {key: c for key, (_, c) in slow.items()}, 100),
    }


def difference(ours: dict, theirs: dict, factor: float) -> float:
    """The largest difference of two tables that must have the same entries."""
    worst = 0.0
    for key, scores in theirs.items():
        for mine, one in zip(ours[key], scores, strict=True):
            assert mine.keys() == one.keys()
            worst = max([worst, *(factor * abs(mine[name] - one[name]) for name in one)])
    return worst


@contextmanager
def timed(clock: dict[str, float], *names: str) -> Iterator[None]:
    """Add the processor's seconds to the clocks."""
    start = time.process_time()
    yield
    for name in names:
        clock[name] += time.process_time() - start


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=210)
    parser.add_argument("--pairwise", type=int, default=210)
    parser.add_argument("--side", type=int, default=768)
    settings = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        result = compare(settings.items, settings.side, settings.pairwise, Path(scratch))
    json.dump(result, sys.stdout, indent=1)
