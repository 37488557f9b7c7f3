"""Tables of a comparison, for the page, for Markdown and for LaTeX.

Scores are x 100 unless the paper's table has another scale; brackets are 95 % bootstrap intervals.
What was not measured says so.
"""

import re
from dataclasses import dataclass
from typing import Literal

from umo.evaluation.comparison import Comparison
from umo.evaluation.metrics import Interval
from umo.evaluation.published import PACK, PUBLISHED, UNKNOWN, Published

NOT_MEASURED = "not measured"
OURS = "this comparison"
MARKDOWN = re.compile(r"([\\|*_`<>\[\]])")
LATEX = str.maketrans(
    {
        **{special: f"\\{special}" for special in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "−": "$-$",
        "–": "--",
        "↑": r"$\uparrow$",
        "↓": r"$\downarrow$",
    }
)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A number as it is shown."""

    text: str
    interval: str = ""
    """Its 95 % interval."""
    best: bool = False
    """Whether it is the best of several models."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of a table."""

    headings: tuple[str, ...]
    cells: tuple[Cell, ...]
    ruled: bool = False
    """Whether a rule stands above it."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with its caption."""

    title: str
    columns: tuple[str, ...]
    """Names of headings, then of cells."""
    rows: tuple[Row, ...]
    note: str

    @property
    def headings(self) -> int:
        """How many columns are headings."""
        return len(self.rows[0].headings)


def published_table(comparison: Comparison) -> Table:
    """The models in the form of the paper's table, above the published results."""
    benchmark = comparison.first.benchmark
    published = PUBLISHED.get(benchmark, UNKNOWN)
    names = [comparison.config.confidence if n == "id_conf" else n for n in published.columns]
    ours = [_ours(comparison, label, names, published.scale) for label in comparison.labels]
    theirs = [
        Row(
            headings=(row.model, row.source),
            cells=tuple(
                Cell(text=f"{row.values[name]:.2f}" if name in row.values else "–")
                for name in (*published.columns, "avg")
            ),
            ruled=number == 0,
        )
        for number, row in enumerate(published.rows)
    ]
    return Table(
        title=f"{benchmark}, in the form of the paper's table",
        columns=("Model", "Source", *(_title(comparison, name) for name in names), "AVG"),
        rows=(*ours, *theirs),
        note=_note(comparison, published),
    )


def criteria_table(comparison: Comparison, embedder: str) -> Table:
    """Every criterion that was measured, of every model by one embedder; the note has the others.

    Its rows are in the order of `Comparison.measured`.
    """
    rows = []
    measured = comparison.measured(embedder)
    for name in measured:
        criterion = comparison.criteria[name]
        best = best_of(comparison, name, embedder)
        cells = tuple(
            _cell(comparison.level(label, name, embedder=embedder), best=label == best)
            for label in comparison.labels
        )
        arrow = "↑" if criterion.better == "higher" else "↓"
        rows.append(Row(headings=(f"{criterion.title} {arrow}",), cells=cells))
    unmeasured = [c.title for name, c in comparison.criteria.items() if name not in measured]
    return Table(
        title=f"{comparison.first.benchmark}, every criterion by the {embedder}",
        columns=("Criterion", *comparison.labels),
        rows=tuple(rows),
        note="↑ higher is better, ↓ lower is better. Extra people are faces in 100 pictures."
        + (f" {NOT_MEASURED.capitalize()}: {', '.join(unmeasured)}." if unmeasured else ""),
    )


def best_of(comparison: Comparison, name: str, embedder: str = "") -> str | None:
    """The model with the best level in a criterion; None of one model, of a tie, or unmeasured."""
    sign = comparison.criteria[name].sign
    means = [
        (sign * level.mean, label)
        for label in comparison.labels
        if (level := comparison.level(label, name, embedder=embedder))
    ]
    if len(means) < 2:
        return None
    (best, label), (second, _) = sorted(means, reverse=True)[:2]
    return label if best > second else None


def markdown(table: Table) -> str:
    """A table in Markdown, with its title and note."""
    cells = len(table.columns) - table.headings
    lines = [
        [_markdown(column) for column in table.columns],
        ["---"] * table.headings + ["---:"] * cells,
        *(
            [
                *(_markdown(heading) for heading in row.headings),
                *(_whole(f"**{c.text}**" if c.best else c.text, c.interval) for c in row.cells),
            ]
            for row in table.rows
        ),
    ]
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"**{_markdown(table.title)}**\n\n{body}\n\n{_markdown(table.note)}\n"


def latex(table: Table) -> str:
    """A table in LaTeX; it needs the package booktabs."""
    lines = []
    for row in table.rows:
        lines += [r"\midrule"] if row.ruled else []
        cells = [
            _whole(
                rf"\textbf{{{c.text}}}" if c.best else c.text.translate(LATEX),
                rf"{{\scriptsize {c.interval.translate(LATEX)}}}" if c.interval else "",
            )
            for c in row.cells
        ]
        lines.append(" & ".join([*(h.translate(LATEX) for h in row.headings), *cells]) + r" \\")
    spec = "l" * table.headings + "r" * (len(table.columns) - table.headings)
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{table.title.translate(LATEX)}. {table.note.translate(LATEX)}}}",
            rf"\begin{{tabular}}{{{spec}}}",
            r"\toprule",
            " & ".join(column.translate(LATEX) for column in table.columns) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _ours(comparison: Comparison, label: str, names: list[str], scale: float) -> Row:
    levels = [
        comparison.level(label, name) if name in comparison.criteria else None for name in names
    ]
    measured = [level.mean for level in levels if level]
    average = (
        f"{scale * sum(measured) / len(measured):.2f}"
        if len(measured) == len(levels)
        else NOT_MEASURED
    )
    best = [name in comparison.criteria and best_of(comparison, name) == label for name in names]
    cells = (
        _cell(level, scale=scale, digits=2, best=won)
        for level, won in zip(levels, best, strict=True)
    )
    return Row(headings=(label, OURS), cells=(*cells, Cell(text=average)))


def _cell(
    level: Interval | None, *, scale: float = 1, digits: Literal[1, 2] = 1, best: bool = False
) -> Cell:
    if level is None:
        return Cell(text=NOT_MEASURED)
    mean, low, high = (
        f"{scale * value:.{digits}f}".replace("-", "−")
        for value in (level.mean, level.low, level.high)
    )
    return Cell(text=mean, interval=f"[{low}, {high}]", best=best)


def _note(comparison: Comparison, published: Published) -> str:
    first = comparison.first
    note = f"ID-Conf of this comparison is by the definition of the {comparison.config.definition}."
    if not published.rows:
        return f"{note} There are no published results of this benchmark."
    if first.pack != PACK:
        note += (
            f" It was scored by the face pack {first.pack}, the published rows by other networks: "
            "their differences may be compared, their levels not."
        )
    if comparison.items() < first.expected:
        note += f" It covers {comparison.items()} of the benchmark's {first.expected} items."
    return note


def _title(comparison: Comparison, name: str) -> str:
    known = comparison.criteria.get(name)
    return known.title if known else name.capitalize()


def _whole(text: str, interval: str) -> str:
    return f"{text} {interval}".rstrip()


def _markdown(text: str) -> str:
    return MARKDOWN.sub(r"\\\1", " ".join(text.split()))
