"""The verdict of a comparison in sentences: which model is better, by how much, where it fails."""

from umo.evaluation.comparison import SIMILARITY, Comparison
from umo.evaluation.metrics import Interval
from umo.evaluation.page import signed

WORST_PEOPLE = 3
ROUNDING = 1e-9
MISTAKES = ("missing", "extra", "mixed")
"""The criteria that count what went wrong, of people."""


def verdict(comparison: Comparison) -> str:
    """Which model is better and by how much, with 95 % paired intervals by the judge.

    Models are ranked by ID-Sim; the best is held against the second best.
    """
    best, *others = ranking(comparison)
    where = f"on {comparison.items()} items of {comparison.first.benchmark}"
    shown = _shown(comparison)
    if not others:
        levels = [f"{title} {_mean(comparison, best, name)}" for name, title in shown.items()]
        return f"{best} scores {', '.join(levels)} {where}."
    among = f"Of {len(comparison.labels)} models, " if len(others) > 1 else ""
    claim, numbers = _held_against(comparison, best, others[0])
    return f"{among}{claim} {where}: {numbers}."


def against_first(comparison: Comparison) -> str:
    """The best model held against the first, where the verdict says nothing of that one."""
    best, *others = ranking(comparison)
    first = comparison.labels[0]
    if first in (best, *others[:1]):
        return ""
    claim, numbers = _held_against(comparison, best, first)
    return f"Against the first model, {claim}: {numbers}."


def failures(comparison: Comparison) -> str:
    """Where the best model fails: group, people, mistakes."""
    best = ranking(comparison)[0]
    parts = []
    levels = {
        group: level.mean
        for group in comparison.groups
        if (level := comparison.level(best, SIMILARITY, group=group))
    }
    if len(levels) > 1:
        worst = min(levels, key=lambda group: levels[group])
        parts.append(f"lowest ID-Sim {levels[worst]:.1f} {in_group(worst)}")
    people = sorted(
        (similarity, identity)
        for identity, similarity in comparison.by_identity(best, SIMILARITY).items()
        if similarity is not None
    )[:WORST_PEOPLE]
    if len(comparison.identities) > WORST_PEOPLE:
        named = ", ".join(f"{who} ({f'{level:.0f}'.replace('-', '−')})" for level, who in people)
        parts.append(f"least like their references: {named}")
    for name in MISTAKES:
        count, size = comparison.total(best, name), comparison.size(best, name)
        if size:
            of = f"in {size} pictures" if name == "extra" else f"of {size}"
            parts.append(f"{comparison.criteria[name].title.lower()}: {count:.0f} {of}")
    return f"Where {best} fails: {'; '.join(parts)}."


def ranking(comparison: Comparison) -> list[str]:
    """The models from the highest ID-Sim by the judge to the lowest."""
    return sorted(
        comparison.labels, key=lambda label: _level(comparison, label, SIMILARITY), reverse=True
    )


def in_group(group: str) -> str:
    """A group of items in words."""
    if group == "1":
        return "with one person"
    return f"with {group} people" if group.isdecimal() else f"in {group}"


def interval_words(gain: Interval) -> str:
    """A difference with its interval in words."""
    return f"{signed(gain.mean)}, 95 % interval {signed(gain.low)} to {signed(gain.high)}"


def side(gain: Interval | None) -> int:
    """1 if the interval lies above 0, -1 if below, else 0; equal levels differ by rounding."""
    if gain is None:
        return 0
    return int(gain.low > ROUNDING) - int(gain.high < -ROUNDING)


def _held_against(comparison: Comparison, best: str, other: str) -> tuple[str, str]:
    """What the intervals of two models allow to say, and the numbers."""
    shown = _shown(comparison)
    gains = {name: comparison.difference(best, other, name) for name in shown}
    numbers = "; ".join(
        f"{title} {_mean(comparison, best, name)} against {_mean(comparison, other, name)} "
        f"({interval_words(gain)})"
        for name, title in shown.items()
        if (gain := gains[name])
    )
    return _claim(comparison, best, other, gains), numbers


def _claim(
    comparison: Comparison, best: str, second: str, gains: dict[str, Interval | None]
) -> str:
    similarity, confidence = (side(gain) for gain in gains.values())
    lost = comparison.difference(best, second, "missing")
    loses = " but loses more people" if side(lost) > 0 else ""
    match similarity, confidence:
        case (1, 1):
            return f"{best} is better than {second}{loses}"
        case (1, -1):
            return f"{best} is nearer to the references than {second} but confuses people more"
        case (1, _):
            return f"{best} is nearer to the references than {second}{loses}"
        case (_, 1):
            return f"{best} confuses people less than {second}{loses}"
        case (_, -1):
            return f"{second} confuses people less than {best}"
    return f"{best} and {second} do not differ clearly"


def _shown(comparison: Comparison) -> dict[str, str]:
    return {SIMILARITY: "ID-Sim", comparison.config.confidence: "ID-Conf"}


def _level(comparison: Comparison, label: str, name: str) -> float:
    level = comparison.level(label, name)
    return level.mean if level else float("nan")


def _mean(comparison: Comparison, label: str, name: str) -> str:
    level = comparison.level(label, name)
    return f"{level.mean:.1f}" if level else "not measured"
