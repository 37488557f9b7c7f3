"""Tables say what was measured, in Markdown and LaTeX that survive odd names."""

import re
from pathlib import Path
from typing import Any, Literal

import pytest

from services.scored_models import entry, random_items, write_scored
from umo.evaluation.comparison import Comparison, ComparisonConfig, compare
from umo.evaluation.published import PUBLISHED
from umo.evaluation.scored import read_scored
from umo.evaluation.tables import best_of, criteria_table, latex, markdown, published_table

ODD = r"my_model|100% & \best #1"


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    models = {"base": random_items(0.2, seed=1), ODD: random_items(0.6, seed=1)}
    return compare(
        [
            read_scored(write_scored(tmp_path / str(n), label, items))
            for n, (label, items) in enumerate(models.items())
        ],
        ComparisonConfig(resamples=100),
    )


def test_the_papers_form(comparison: Comparison) -> None:
    table = published_table(comparison)
    assert table.columns == ("Model", "Source", "ID-Sim", "ID-Conf (paper)", "IP-Sim", "AVG")
    rows = {row.headings: [cell.text for cell in row.cells] for row in table.rows}
    assert rows["UMO on UNO", "paper"] == ["69.09", "78.06", "68.57", "71.91"]
    assert rows["UMO on UNO", "independent run"] == ["58.82", "–", "–", "–"]
    level = comparison.level("base", "id_sim")
    assert level
    assert rows["base", "this comparison"][0] == f"{level.mean:.2f}"
    assert rows["base", "this comparison"][2:] == ["not measured", "not measured"]
    assert [row.ruled for row in table.rows[:4]] == [False, False, True, False]
    assert "face pack open" in table.note


def test_the_average_is_of_all_columns(tmp_path: Path) -> None:
    item = entry("a", [[[0.8, 0.2], [0.1, 0.4]]])
    item["pictures"][0]["measures"] = {"ip_sim": 70, "overall": 65}

    def row(benchmark: str, definition: Literal["paper", "scripts"]) -> list[str]:
        terms = {"name": benchmark, "version": "0", "items": 1, "pictures": 1}
        folder = write_scored(tmp_path / benchmark, "m", [item], benchmark=terms, pack="xverse")
        config = ComparisonConfig(resamples=10, definition=definition)
        table = published_table(compare([read_scored(folder)], config))
        assert "face pack" not in table.note, "the networks are those of the published rows"
        return [cell.text for cell in table.rows[0].cells]

    assert row("xversebench-multi", "paper") == ["60.00", "75.00", "70.00", "68.33"]
    assert row("xversebench-single", "paper") == ["60.00", "70.00", "65.00"]
    assert row("omnicontext", "scripts") == ["6.50", "6.00", "7.50", "6.67"]
    assert row("rendered", "paper") == ["60.00", "75.00", "67.50"]


def test_published_averages_are_the_mean_of_their_columns() -> None:
    for published in PUBLISHED.values():
        for row in published.rows:
            if "avg" in row.values:
                values = [row.values[name] for name in published.columns]
                assert row.values["avg"] == pytest.approx(sum(values) / len(values), abs=0.011)


def test_markdown(comparison: Comparison) -> None:
    lines = markdown(criteria_table(comparison, "judge")).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + len(comparison.measured("judge"))
    assert "Not measured: Prompt following, Picture quality, IP-Sim, Diversity, DPG." in lines[-1]
    assert len({len(re.split(r"(?<!\\)\|", row)) for row in rows}) == 1, "one width"
    assert rows[0] == r"| Criterion | base | my\_model\|100% & \\best #1 |"
    assert re.fullmatch(r"\| ID-Sim ↑ \| [\d.]+ \[.+\] \| \*\*[\d.]+\*\* \[.+\] \|", rows[2])


def test_latex(comparison: Comparison) -> None:
    text = latex(published_table(comparison))
    assert r"my\_model|100\% \& \textbackslash{}best \#1" in text
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {5}
    assert body.count(r"\midrule") == 2
    for opening in ("table", "tabular"):
        assert text.count(rf"\begin{{{opening}}}") == text.count(rf"\end{{{opening}}}") == 1
    assert text.count("{") == text.count("}")


@pytest.mark.parametrize(
    ("name", "best"), [("id_sim", ODD), ("missing", None), ("mixed", ODD), ("ip_sim", None)]
)
def test_best(tmp_path: Path, name: str, best: str | None) -> None:
    good, mixed = [[0.8, 0.1], [0.0, 0.7]], [[0.5, 0.1], [0.6, 0.3]]
    items: dict[str, Any] = {"base": [entry("a", [mixed])], ODD: [entry("a", [good])]}
    items["base"][0]["pictures"][0]["measures"] = {"ip_sim": 50}
    comparison = compare(
        [
            read_scored(write_scored(tmp_path / str(n), label, rows))
            for n, (label, rows) in enumerate(items.items())
        ],
        ComparisonConfig(resamples=10),
    )
    assert best_of(comparison, name) == best
