"""The report: one self-contained HTML page, and `result.png` for a README."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from umo.data.shards import Dataset
from umo.evaluation.figures import Panel, card, grid
from umo.evaluation.page import environment, signed, svg_uri, webp_uri
from umo.evaluation.plots import similarity_by_people, training_curves
from umo.files import atomic_path, write_text

TITLES = {"base": "base", "tuned": "this run", "reference": "reference LoRA (more steps)"}
"""What a model is called on the page; other labels stand for themselves."""
METRIC_TITLES = {
    "id_sim": "ID-Sim",
    "id_conf": "ID-Conf (paper)",
    "id_conf_scripts": "ID-Conf (scripts)",
}
SHOWN_OF_EACH_COUNT = 2
EXTREMES = 3

Scores = Sequence[Mapping[str, Any]]


def write_report(folder: Path, dataset: Dataset) -> None:
    """Write `report.html` and `result.png` of a folder with summary, scores, pictures and curves.

    Args:
        folder: Of an evaluation.
        dataset: The held-out items that were evaluated.
    """
    summary = json.loads((folder / "summary.json").read_text())
    scores: Scores = json.loads((folder / "scores.json").read_text())
    titles = {label: TITLES.get(label, label) for label in summary["models"]}
    logs = {
        label: [json.loads(line) for line in path.read_text().splitlines()]
        for label in titles
        if (path := folder / "curves" / f"{label}.jsonl").is_file()
    }

    def draw(item: Mapping[str, Any]) -> Pillow.Image:
        return _card(folder, dataset, item, titles)

    shown = first_of_each_count(scores)
    with atomic_path(folder / "result.png") as staged:
        grid([draw(item) for item in shown], columns=len(shown)).save(staged, format="PNG")
    ranked = ranking(scores, summary["base"], primary(summary))
    page = (
        environment()
        .get_template("report.html")
        .render(
            summary=summary,
            titles=titles,
            metrics=METRIC_TITLES,
            headline=headline(summary, titles),
            shown=[_figure(draw(item), item) for item in shown],
            best=[_figure(draw(item), item) for item in ranked[:EXTREMES]],
            worst=[_figure(draw(item), item) for item in ranked[: -EXTREMES - 1 : -1]],
            by_people=svg_uri(similarity_by_people(summary, titles)),
            curves=svg_uri(training_curves(logs, titles)) if logs else "",
            settings=json.dumps(summary["config"], indent=1),
            lineage=json.dumps(summary["lineage"], indent=1),
            compared=primary(summary),
        )
    )
    write_text(folder / "report.html", page)


def primary(summary: Mapping[str, Any]) -> str | None:
    """The label that the verdict is about: `tuned`, else the first that is not base."""
    tuned = list(summary["gain"])
    return "tuned" if "tuned" in tuned else next(iter(tuned), None)


def headline(summary: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """The verdict in one sentence, with numbers and 95 % intervals by the judge."""
    base = summary["models"][summary["base"]]
    where = f"on {summary['items']} held-out prompts with {summary['people']} unseen people"
    label = primary(summary)
    if label is None:
        return (
            f"Base scores ID-Sim {base['judge']['id_sim']:.1f} and ID-Conf "
            f"{base['judge']['id_conf']:.1f} {where}."
        )
    tuned, gain = summary["models"][label], summary["gain"][label]
    clear = min(gain["id_sim"]["low"], gain["id_conf"]["low"]) > 0
    verdict = "beats base" if clear else "does not clearly beat base"
    if clear and tuned["faces_found"] < base["faces_found"]:
        verdict = "beats base but loses faces"
    if max(gain["id_sim"]["high"], gain["id_conf"]["high"]) < 0:
        verdict = "is worse than base"
    parts = [
        f"{name} {base['judge'][metric]:.1f} → {tuned['judge'][metric]:.1f} "
        f"({signed(gain[metric]['mean'])}, 95 % interval {signed(gain[metric]['low'])} to "
        f"{signed(gain[metric]['high'])})"
        for metric, name in (("id_sim", "ID-Sim"), ("id_conf", "ID-Conf"))
    ]
    faces = (
        f"{tuned['faces_found']} of {tuned['faces_expected']} faces found against "
        f"{base['faces_found']}"
    )
    title = titles[label][0].upper() + titles[label][1:]
    return f"{title} {verdict} {where}: {parts[0]}, {parts[1]}, {faces}."


def first_of_each_count(scores: Scores) -> list[Mapping[str, Any]]:
    """The first items of each number of people: chosen before anything was seen of them."""
    counts = sorted({len(item["identities"]) for item in scores})
    return [
        item
        for count in counts
        for item in [i for i in scores if len(i["identities"]) == count][:SHOWN_OF_EACH_COUNT]
    ]


def ranking(scores: Scores, base: str, label: str | None) -> list[Mapping[str, Any]]:
    """Items from the largest gain of a model over base to the smallest; base alone: by its own.

    What gains is ID-Sim by the judge, over all pictures of the item.
    """

    def level(item: Mapping[str, Any], name: str) -> float:
        return float(np.mean([p["judge"]["id_sim"] for p in item["models"][name]]))

    def gain(item: Mapping[str, Any]) -> float:
        return level(item, label) - level(item, base) if label else level(item, base)

    return sorted(scores, key=gain, reverse=True)


def _card(
    folder: Path, dataset: Dataset, item: Mapping[str, Any], titles: Mapping[str, str]
) -> Pillow.Image:
    people = len(item["identities"])
    panels = []
    for label, title in titles.items():
        picture = item["models"][label][0]
        with Pillow.open(folder / picture["file"]) as image:
            pixels = np.array(image.convert("RGB"))
        panels.append(
            Panel(
                title=title,
                picture=pixels,
                boxes=np.array(picture["boxes"], dtype=float).reshape(-1, 4),
                similarity=np.array(picture["judge"]["similarity"], dtype=float).reshape(
                    people, -1
                ),
            )
        )
    return card(dataset[item["index"]].references, panels)


def _figure(image: Pillow.Image, item: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "uri": webp_uri(image, quality=88),
        "width": image.width,
        "height": image.height,
        "key": item["key"],
        "prompt": item["prompt"],
    }
