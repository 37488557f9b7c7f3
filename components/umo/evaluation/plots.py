"""Plots of the reports, as SVG without background: grey ink reads on light and dark pages.

The plots of a comparison are for papers too: `save_png` draws the same on white.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from umo.evaluation.metrics import Interval

Plot = Callable[[], Figure]
"""Draws a figure; ink and paper are up to whoever calls it."""
INK = "#808080"
INK_ON_WHITE = "#303030"
DPI = 160
LEAST_RANGE = 10
"""Points that an axis of levels covers at least, so that noise near 0 does not look large."""
MODEL_COLOURS = ("#8a8a8a", "#3b82f6", "#e6820e", "#12a37a", "#c455a8", "#7a5cd6", "#b0a000")
CURVES = {
    "reward": "Reward",
    "matched": "Cosine of matched pairs",
    "mismatched": "Cosine of other pairs",
    "missing": "Missing people per picture",
    "flow_matching": "Flow-matching loss",
    "grad_norm": "Gradient norm",
}
"""The curves of a training log that are drawn, in this order, if the log has them."""


def training_curves(
    logs: Mapping[str, Sequence[Mapping[str, Any]]], titles: Mapping[str, str]
) -> str:
    """Small multiples of the measures in training logs over the step.

    Args:
        logs: Model label -> lines of its `metrics.jsonl`.
        titles: What to call each model.

    Returns:
        An SVG document.
    """
    names = [name for name in CURVES if any(name in line for log in logs.values() for line in log)]
    colours = {label: _colour(number) for number, label in enumerate(titles)}
    lengths = [log[-1]["step"] for log in logs.values() if log]
    far_apart = max(lengths, default=1) > 5 * min(lengths, default=1)
    rows = -(-len(names) // 3)
    with _style():
        figure = Figure(figsize=(9.6, 2.4 * rows), layout="constrained")
        for number, name in enumerate(names, 1):
            axes = figure.add_subplot(rows, 3, number)
            for label, log in logs.items():
                points = [(line["step"], line[name]) for line in log if name in line]
                if points:
                    axes.plot(*zip(*points, strict=True), color=colours[label], linewidth=1.6)
            axes.set_title(CURVES[name], fontsize=10)
            axes.set_xlabel("step", fontsize=8)
            axes.set_xscale("log" if far_apart else "linear")
        handles = [
            mpl.lines.Line2D([], [], color=colours[label], label=titles[label]) for label in logs
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(logs), frameon=False)
        return _svg(figure)


def similarity_by_people(summary: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """ID-Sim by the judge against the number of people, with 95 % intervals and the scale's ends.

    Args:
        summary: As `evaluate` returns it.
        titles: What to call each model.

    Returns:
        An SVG document.
    """
    counts = list(summary["by_people"])
    with _style():
        figure = Figure(figsize=(4.8, 3.4), layout="constrained")
        axes = figure.add_subplot()
        for number, (label, title) in enumerate(titles.items()):
            offset = 0.12 * (number - (len(titles) - 1) / 2)
            scores = [summary["by_people"][n]["models"][label]["id_sim"] for n in counts]
            _draw_levels(
                axes,
                {position + offset: Interval(**score) for position, score in enumerate(scores)},
                color=_colour(number),
                label=title,
                linewidth=1.4,
            )
        _draw_scale(axes, summary["scale"], len(counts))
        axes.set_xticks(range(len(counts)), counts)
        axes.set_xlim(-0.5, len(counts) - 0.5)
        axes.set_xlabel("people in the picture")
        axes.set_ylabel("ID-Sim by the judge")
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
        return _svg(figure)


def levels_by_group(
    levels: Mapping[str, Sequence[Interval | None]],
    groups: Sequence[str],
    *,
    title: str,
    axis: str,
) -> Figure:
    """Levels of a criterion by group, with 95 % intervals; joined where groups are numbers.

    Args:
        levels: Model -> level in each group, None where not measured.
        groups: What to call the groups.
        title: The criterion's.
        axis: What the groups are.
    """
    figure = Figure(figsize=(4.8, 3.2), layout="constrained")
    axes = figure.add_subplot()
    joined = all(group.isdecimal() for group in groups)
    for number, (label, scores) in enumerate(levels.items()):
        offset = 0.3 * (number - (len(levels) - 1) / 2) / len(levels)
        _draw_levels(
            axes,
            {place + offset: score for place, score in enumerate(scores) if score},
            color=_colour(number),
            label=label,
            linewidth=1.4 if joined else 0,
            elinewidth=1.4,
        )
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0), max(high, LEAST_RANGE))
    axes.set_title(title, fontsize=10)
    axes.set_xticks(range(len(groups)), groups, rotation=0 if joined else 20)
    axes.set_xlim(-0.5, len(groups) - 0.5)
    axes.set_xlabel(axis)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def gains(differences: Mapping[str, Mapping[str, Interval]], *, over: str) -> Figure:
    """Gains of models over another, with 95 % intervals: right of the line is better.

    Args:
        differences: Criterion -> model -> its gain; a criterion where lower is better is negated.
        over: The model at the line.
    """
    labels = list(dict.fromkeys(label for models in differences.values() for label in models))
    titles = list(differences)
    height = 0.8 + len(titles) * (0.22 + 0.14 * len(labels))
    figure = Figure(figsize=(5.6, height), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color=INK, linewidth=1.2)
    for number, label in enumerate(labels):
        offset = 0.6 * (number - (len(labels) - 1) / 2) / len(labels)
        rows = {
            row: differences[t][label] for row, t in enumerate(titles) if label in differences[t]
        }
        means = [gain.mean for gain in rows.values()]
        axes.errorbar(
            means,
            [row + offset for row in rows],
            xerr=_arms(list(rows.values())),
            color=_colour(number + 1),
            label=label,
            marker="o",
            markersize=5,
            capsize=3,
            linewidth=0,
            elinewidth=1.6,
        )
    axes.set_yticks(range(len(titles)), titles)
    axes.set_ylim(len(titles) - 0.5, -0.5)
    axes.set_xlabel(f"worse than {over}  ←  points  →  better than {over}")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def svg(draw: Plot) -> str:
    """What `draw` makes, as an SVG document."""
    with _style(INK):
        return _svg(draw())


def save_png(draw: Plot, path: Path) -> None:
    """Write what `draw` makes as a PNG file on white."""
    with _style(INK_ON_WHITE):
        draw().savefig(path, dpi=DPI, facecolor="white", metadata={"Software": None})


def _draw_levels(axes: Axes, levels: Mapping[float, Interval], **look: Any) -> None:
    scores = list(levels.values())
    axes.errorbar(
        list(levels),
        [score.mean for score in scores],
        yerr=_arms(scores),
        marker="o",
        capsize=3,
        **look,
    )


def _arms(levels: Sequence[Interval]) -> list[list[float]]:
    """Lengths of the error bars; a percentile interval need not hold its mean."""
    return [
        [max(level.mean - level.low, 0) for level in levels],
        [max(level.high - level.mean, 0) for level in levels],
    ]


def _draw_scale(axes: Axes, scale: Mapping[str, Any], positions: int) -> None:
    for key, text in (("same", "two views of one person"), ("different", "different people")):
        if scale[key] is not None:
            level = 100 * scale[key]
            axes.axhline(level, color=INK, linestyle=":", linewidth=1.2)
            axes.annotate(
                text,
                (positions - 0.5, level),
                xytext=(-4, 3),
                textcoords="offset points",
                ha="right",
                fontsize=8,
            )


@contextmanager
def _style(ink: str = INK) -> Iterator[None]:
    settings: dict[Any, Any] = {
        "svg.hashsalt": "umo",
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": INK,
        "grid.alpha": 0.25,
        **dict.fromkeys(
            ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), ink
        ),
    }
    with mpl.rc_context(settings):
        yield


def _colour(number: int) -> str:
    return MODEL_COLOURS[number % len(MODEL_COLOURS)]


def _svg(figure: Figure) -> str:
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]
