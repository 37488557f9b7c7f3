"""The comparison as a folder: page, tables, plots and numbers, sealed by a manifest."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from umo.evaluation.comparison import Comparison, ComparisonConfig, compare, to_mapping
from umo.evaluation.figures import colour
from umo.evaluation.gallery import Places, exhibits
from umo.evaluation.metrics import Interval
from umo.evaluation.page import environment, svg_uri
from umo.evaluation.plots import Plot, gains, levels_by_group, save_png, svg
from umo.evaluation.scored import Scored
from umo.evaluation.tables import criteria_table, latex, markdown, published_table
from umo.evaluation.verdict import (
    MISTAKES,
    against_first,
    failures,
    in_group,
    ranking,
    side,
    verdict,
)
from umo.files import atomic_folder, write_manifest, write_text

KIND = "comparison"
PAGE = "report.html"
GAINS = "gains"
BY_GROUP = ("id_sim", "missing", "mixed")
"""The criteria that are drawn by group, with ID-Conf."""
WORDS = {"missing": "missing", "extra": "too many", "mixed": "mixed up"}
"""A mistake, after a count of people."""


def write_comparison(
    models: Sequence[Scored],
    out: Path,
    *,
    places: Places,
    config: ComparisonConfig | None = None,
) -> Comparison:
    """Compare models and write everything that tells of it.

    Args:
        models: Of one benchmark, by one face pack; the others are held against the first.
        out: Gets `report.html`, `table.md`, `table.tex`, `plots/*.png`, `comparison.json` and
            `manifest.json`. Replaced if it exists.
        places: Where the gallery's pictures are.
        config: How to compare.

    Raises:
        UsageError: No model, or a label that stands twice.
        DiffersError: The models were not scored on equal terms, or a file is no picture.
        NotFoundError: A folder of pictures lacks one that was scored.
    """
    comparison = compare(models, config)
    plots = _plots(comparison)
    shown = exhibits(comparison, places)
    tables = [
        published_table(comparison),
        *(criteria_table(comparison, embedder) for embedder in comparison.first.embedders),
    ]
    with atomic_folder(out) as staged:
        (staged / "plots").mkdir()
        for name, draw in plots.items():
            save_png(draw, staged / "plots" / f"{name}.png")
        write_text(staged / "table.md", "\n".join(map(markdown, tables)))
        write_text(staged / "table.tex", "\n".join(map(latex, tables)))
        numbers = {"verdict": verdict(comparison), **to_mapping(comparison)}
        write_text(staged / "comparison.json", json.dumps(numbers, indent=1) + "\n")
        page = (
            environment()
            .get_template("compare.html")
            .render(
                comparison=comparison,
                numbers=numbers,
                verdict=numbers["verdict"],
                against_first=against_first(comparison),
                failures=failures(comparison),
                ranking=ranking(comparison),
                published=tables[0],
                tables=tables[1:],
                plots={name: svg_uri(svg(draw)) for name, draw in plots.items()},
                exhibits=shown,
                places=places,
                mistakes=[name for name in MISTAKES if any(name in e.mistakes for e in shown)],
                words=WORDS,
                in_group=in_group,
                side=side,
                colour=colour,
            )
        )
        write_text(staged / PAGE, page)
        write_manifest(
            staged,
            {
                "kind": KIND,
                "benchmark": comparison.first.benchmark,
                "version": comparison.first.version,
                "models": {model.model: model.digest for model in models},
                "config": numbers["config"],
                "verdict": numbers["verdict"],
            },
        )
    return comparison


def _plots(comparison: Comparison) -> dict[str, Plot]:
    """The gains over the first model, if there is another, then a plot by group for each name."""
    asking = {shot.group for shot in comparison.shots if shot.identities}
    groups = [group for group in comparison.groups if group in asking]
    similarity, *mistakes = BY_GROUP
    by_group: dict[str, Plot] = {
        name: partial(
            levels_by_group,
            {
                label: [comparison.level(label, name, group=group) for group in groups]
                for label in comparison.labels
            },
            groups,
            title=comparison.criteria[name].title,
            axis="people in the picture" if comparison.counted else "task",
        )
        for name in (similarity, comparison.config.confidence, *mistakes)
    }
    if len(comparison.labels) == 1:
        return by_group
    return {GAINS: partial(gains, _gains(comparison), over=comparison.labels[0]), **by_group}


def _gains(comparison: Comparison) -> dict[str, dict[str, Interval]]:
    """Differences from the first model, turned so that more is better."""
    first, *others = comparison.labels
    differences: dict[str, dict[str, Any]] = {
        criterion.title: {
            label: _turned(difference, criterion.sign)
            for label in others
            if (difference := comparison.difference(label, first, name))
        }
        for name, criterion in comparison.criteria.items()
    }
    return {title: models for title, models in differences.items() if models}


def _turned(interval: Interval, sign: int) -> Interval:
    if sign > 0:
        return interval
    return Interval(mean=-interval.mean, low=-interval.high, high=-interval.low)
