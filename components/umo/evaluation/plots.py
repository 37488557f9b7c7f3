"""Plots of the report, as SVG without background: grey ink reads on light and dark pages."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#808080"
MODEL_COLOURS = ("#8a8a8a", "#3b82f6", "#e6820e", "#12a37a", "#c455a8")
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
            means = [score["mean"] for score in scores]
            axes.errorbar(
                [position + offset for position in range(len(counts))],
                means,
                yerr=[
                    [score["mean"] - score["low"] for score in scores],
                    [score["high"] - score["mean"] for score in scores],
                ],
                color=_colour(number),
                label=title,
                marker="o",
                capsize=3,
                linewidth=1.4,
            )
        _draw_scale(axes, summary["scale"], len(counts))
        axes.set_xticks(range(len(counts)), counts)
        axes.set_xlim(-0.5, len(counts) - 0.5)
        axes.set_xlabel("people in the picture")
        axes.set_ylabel("ID-Sim by the judge")
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
        return _svg(figure)


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
def _style() -> Iterator[None]:
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
            ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK
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
