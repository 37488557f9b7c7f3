"""The score files of the public scripts, written and read.

XVerse and UMO write for XVerseBench, beside the pictures,

    id_scores_<run>.json  {index: [{"human_05_man.jpg": score}, ...one of each picture]}, 0 to 100
    id_conf_<run>.json    the same with 0 to 1; pictures with one face or none have no entry
    *.txt                 the mean over everything, then each reference's, 0 to 100

and for OmniContext `ID/score.json`: means by task and over all items (`avg`) of ID-Sim, a cosine
times 10, and of ID-Conf, 0 to 10.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from umo.errors import NotFoundError, UsageError
from umo.evaluation.metrics import Values, id_conf_scripts, id_sim
from umo.files import write_text

Table = dict[str, list[dict[str, float]]]
"""Score of each reference in each picture of an item, by the item's key."""
ID_SIM, ID_CONF = "ID-Sim", "ID-Conf"
ALL = "avg"


def write_xversebench(scores: Mapping[str, Any], folder: Path, run: str) -> None:
    """Write `id_scores_<run>.json|txt` and `id_conf_<run>.json|txt` of a model's scores."""
    for stem, title, metric, stored, shown in (
        ("id_scores", "ID Score", id_sim, 100.0, 1.0),
        ("id_conf", "ID Conf", id_conf_scripts, 1.0, 100.0),
    ):
        table = _table(scores, metric, stored)
        write_text(folder / f"{stem}_{run}.json", json.dumps(table, indent=4) + "\n")
        write_text(folder / f"{stem}_{run}.txt", _means(table, title, shown))


def read_table(path: Path) -> Table:
    """Scores of a public `id_scores_*.json` or `id_conf_*.json`.

    Raises:
        NotFoundError: There is no such file.
        UsageError: It is no such table.
    """
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(key): [
                {str(name): float(score) for name, score in picture.items()} for picture in pictures
            ]
            for key, pictures in plain.items()
        }
    except FileNotFoundError:
        raise NotFoundError(f"no score file at {path}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is no score file: {error}", hint="name an id_scores_*.json or id_conf_*.json"
        ) from error


def write_omnicontext(scores: Mapping[str, Any], folder: Path) -> None:
    """Write `ID/score.json` of a model's scores."""
    means = {
        name: _by_task(scores, metric)
        for name, metric in ((ID_SIM, id_sim), (ID_CONF, id_conf_scripts))
    }
    write_text(folder / "ID" / "score.json", json.dumps(means, indent=4, ensure_ascii=False) + "\n")


def cosines(picture: Mapping[str, Any], people: Sequence[Any]) -> Values:
    """The judge's cosines `[M,N]` of one picture of `scores.json`, of M people and N faces."""
    shape = (len(people), len(picture["boxes"]))
    return np.array(picture["similarity"]["judge"], float).reshape(shape)


def _table(scores: Mapping[str, Any], metric: Callable[[Values], Values], factor: float) -> Table:
    table = {}
    for item in scores["items"]:
        names = [reference["name"].replace("/", "_") for reference in item["references"]]
        table[item["key"]] = [
            # A skipped picture has no value for anybody.
            dict(zip(names, (metric(cosines(picture, names)) * factor).tolist(), strict=False))
            for picture in item["pictures"]
            if picture["error"] is None
        ]
    return table


def _means(table: Table, title: str, factor: float) -> str:
    by_name: dict[str, list[float]] = defaultdict(list)
    for pictures in table.values():
        for picture in pictures:
            for name, score in picture.items():
                by_name[name].append(factor * score)
    everything = [score for scores in by_name.values() for score in scores]
    lines = {title: everything, **by_name}
    return "".join(f"{name}: {np.mean(values):.2f}\n" for name, values in lines.items() if values)


def _by_task(scores: Mapping[str, Any], metric: Callable[[Values], Values]) -> dict[str, float]:
    values: dict[str, list[float]] = {ALL: []}
    for item in scores["items"]:
        for picture in item["pictures"]:
            if picture["error"] is None:
                measured = (10 * metric(cosines(picture, item["references"]))).tolist()
                values[ALL] += measured
                values.setdefault(item["group"], []).extend(measured)
    return {task: float(np.mean(of_task)) for task, of_task in values.items() if of_task}
