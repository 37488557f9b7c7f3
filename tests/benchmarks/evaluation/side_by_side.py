"""Time the public scripts' way and ours on one set, item by item in turns.

    PYTHONPATH=tests .venv/bin/python -m benchmarks.evaluation.side_by_side --items 210 --out speed

Both ways use the same networks in the same process on one thread; seconds are of the processor, so
that others' work on the machine weighs little, and of the clock. What an item took, and its scores
the pairwise way, are kept in `--out`: a run that was stopped goes on with the same command.
`--shard 1/2` takes every second six items; one run without it then does what is left. After
`--minutes` the pairwise way does no further item. Items ask for one to six people in turns, so the
first ones stand for all.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.evaluation import pairwise
from benchmarks.evaluation.pictures import MOST, write_set
from umo.benchmarks.faces import Gallery
from umo.benchmarks.item import Benchmark, Item
from umo.benchmarks.public import read_table, write_xversebench
from umo.benchmarks.score import Scorer
from umo.benchmarks.xversebench import read_xversebench
from umo.faces.packs import FacePack, load_pack
from umo.files import atomic_folder, write_text
from umo.threads import one_thread

CLOCKS = {"processor": time.process_time, "wall": time.perf_counter}
OURS, PAIRWISE = "ours", "pairwise"
REFERENCES, SCORES = "references", "scores"
"""What ours does once, not for each item."""
Record = dict[str, Any]
"""Seconds by clock, the machine's `load`, and the `result`."""


class SideBySide:
    """A set that is scored both ways.

    Args:
        folder: For the set, times and scores.
        items: Of the set, four pictures each.
        side: Of a picture, px.
    """

    def __init__(self, folder: Path, items: int, side: int) -> None:
        made = folder / f"set-{items}-{side}"
        if not made.is_dir():
            with atomic_folder(made) as staged:
                write_set(staged, items=items, side=side)
        self.folder = folder
        self.benchmark: Benchmark = read_xversebench(made / "items.json", made / "references")
        self._pictures = made / "pictures"
        self._pack: FacePack = load_pack("open")

    def look(self, item: Item) -> None:
        """Ours: the faces of an item's pictures."""
        self._afresh(
            item.key, lambda scorer: list(scorer.look_ahead(self._pictures, [item], processes=1))
        )

    def score(self) -> None:
        """Ours: the people asked for, and scores of what was seen, as the scripts write them."""
        people = [person for item in self.benchmark.items for person in item.people]
        self._afresh(REFERENCES, lambda scorer: list(map(scorer.likenesses.of, people)))
        scorer = Scorer(self.benchmark, Gallery(self.folder / "faces", self._pack), "again")
        self._keep(
            OURS,
            SCORES,
            lambda: write_xversebench(
                scorer.score("set", self._pictures, lambda facts: None), self.folder, "set"
            ),
        )

    def pairwise(self, item: Item) -> None:
        """The public scripts' way: both scores of an item's pictures."""
        references = {person.name.replace("/", "_"): person.file for person in item.people}
        grid = self._pictures / f"{item.key}_people.png"
        self._keep(
            PAIRWISE,
            item.key,
            lambda: [
                pairwise.id_sim(self._pack, references, grid),
                pairwise.id_conf(self._pack, references, grid),
            ],
        )

    def records(self, way: str) -> dict[str, Record]:
        """What was kept of a way, by item and by what is done once."""
        files = (self.folder / way).glob("*.json")
        return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}

    def _afresh(self, key: str, work: Callable[[Scorer], object]) -> None:
        """Work that sees faces, none of which were seen before."""

        def see() -> None:
            with tempfile.TemporaryDirectory(dir=self.folder) as empty:
                work(Scorer(self.benchmark, Gallery(Path(empty), self._pack), "again"))
                shutil.copytree(empty, self.folder / "faces", dirs_exist_ok=True)

        self._keep(OURS, key, see)

    def _keep(self, way: str, key: str, work: Callable[[], object]) -> None:
        """Do and time work, unless its record is there."""
        kept = self.folder / way / f"{key}.json"
        if kept.is_file():
            return
        starts = {name: clock() for name, clock in CLOCKS.items()}
        with one_thread():
            result = work()
        seconds = {name: clock() - starts[name] for name, clock in CLOCKS.items()}
        write_text(kept, json.dumps({**seconds, "load": os.getloadavg()[0], "result": result}))


def summarise(run: SideBySide) -> dict[str, Any]:
    """Counts, seconds, ratios and the largest difference of a score, 0 to 100.

    Ratios are of items done both ways, in turns. For the whole set the pairwise way takes its mean
    seconds of an item, by number of people, times the set's items.
    """
    ours, slow = run.records(OURS), run.records(PAIRWISE)
    groups: dict[str, list[str]] = defaultdict(list)
    for item in run.benchmark.items:
        groups[item.group].append(item.key)
    by_people = {
        people: {"items": len(done), **{clock: _ratio(ours, slow, done, clock) for clock in CLOCKS}}
        for people, keys in groups.items()
        if (done := [key for key in keys if key in slow])
    }
    whole = {
        OURS: sum(record["processor"] for record in ours.values()),
        PAIRWISE: sum(len(groups[n]) * by_people[n]["processor"][PAIRWISE] for n in by_people),
    }
    sims, confs = (read_table(run.folder / f"{stem}_set.json") for stem in ("id_scores", "id_conf"))
    loads = sorted(record["load"] for record in [*ours.values(), *slow.values()])
    return {
        "items": len(run.benchmark.items),
        "pictures": run.benchmark.grid**2 * len(run.benchmark.items),
        "pairwise_items": len(slow),
        "an_item_by_people": by_people,
        "an_item": {clock: _ratio(ours, slow, [*slow], clock) for clock in CLOCKS},
        "processor_seconds_of_all": {**whole, "ratio": whole[PAIRWISE] / whole[OURS]},
        "once": {
            key: {clock: ours[key][clock] for clock in CLOCKS} for key in (REFERENCES, SCORES)
        },
        "id_sim_difference": difference(sims, {k: r["result"][0] for k, r in slow.items()}, 1),
        "id_conf_difference": difference(confs, {k: r["result"][1] for k, r in slow.items()}, 100),
        "load": {"least": loads[0], "median": loads[len(loads) // 2], "most": loads[-1]},
    }


def difference(ours: dict, theirs: dict, factor: float) -> float:
    """The largest difference of two tables that must have the same entries."""
    worst = 0.0
    for key, scores in theirs.items():
        for mine, one in zip(ours[key], scores, strict=True):
            assert mine.keys() == one.keys()
            worst = max([worst, *(factor * abs(mine[name] - one[name]) for name in one)])
    return worst


def run_share(
    run: SideBySide, number: int, shares: int, pairwise_items: int, minutes: float
) -> None:
    """Do what is left of every `shares`-th six items, both ways in turns."""
    until = time.monotonic() + 60 * minutes
    for place, item in enumerate(run.benchmark.items):
        if place // MOST % shares != number:
            continue
        run.look(item)
        if place < pairwise_items and time.monotonic() < until:
            run.pairwise(item)
        print(f"{place + 1}/{len(run.benchmark.items)}", file=sys.stderr, flush=True)


def _ratio(
    ours: Mapping[str, Record], slow: Mapping[str, Record], keys: Sequence[str], clock: str
) -> dict[str, float]:
    """Mean seconds of an item, and how many times as long the pairwise way takes."""
    fast, long = (sum(way[key][clock] for key in keys) / len(keys) for way in (ours, slow))
    return {OURS: round(fast, 3), PAIRWISE: round(long, 3), "ratio": round(long / fast, 1)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=210)
    parser.add_argument("--pairwise", type=int, default=210, help="items, the first ones")
    parser.add_argument("--side", type=int, default=768)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shard", default="", help="K/N: this process does share K of N")
    parser.add_argument("--minutes", type=float, default=float("inf"))
    settings = parser.parse_args()
    side_by_side = SideBySide(settings.out, settings.items, settings.side)
    share, shares = map(int, (settings.shard or "1/1").split("/"))
    run_share(side_by_side, share - 1, shares, settings.pairwise, settings.minutes)
    if not settings.shard:
        side_by_side.score()
        json.dump(summarise(side_by_side), sys.stdout, indent=1)
