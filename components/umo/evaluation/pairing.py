"""The pictures that all models of a comparison have, and those that one of them lacks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from umo.errors import DiffersError, UsageError
from umo.evaluation.scored import Item, Scored


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A picture that every model has: number `number`, from 0, of an item."""

    key: str
    number: int
    group: str
    identities: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A picture that one model lacks, so that nobody is compared by it."""

    key: str
    number: int
    """From 0."""
    model: str
    reason: str


def pair(
    models: Sequence[Scored],
) -> tuple[Mapping[str, Scored], tuple[Shot, ...], tuple[LeftOut, ...]]:
    """Models by label, the pictures that all have, and those that one of them lacks.

    Raises:
        UsageError: No model, or a label that stands twice.
        DiffersError: Benchmark, version, face pack or an item's people differ, or there is no
            picture that all models have.
    """
    if not models:
        raise UsageError("no model to compare", hint="name a folder with scores.json")
    by_label = {model.model: model for model in models}
    if len(by_label) < len(models):
        labels = ", ".join(model.model for model in models)
        raise UsageError(f"two models have one label: {labels}", hint="name them LABEL=FOLDER")
    _same_terms(models)
    shots, left_out = _shots(by_label)
    if not shots:
        raise DiffersError(
            f"no picture was scored for all of {', '.join(by_label)}",
            hint="score the same items for each model",
        )
    if not any(shot.identities for shot in shots):
        raise DiffersError(f"no item of {models[0].benchmark} that was scored asks for a person")
    return by_label, tuple(shots), tuple(left_out)


def _same_terms(models: Sequence[Scored]) -> None:
    for name in ("benchmark", "version", "pack", "look", "embedders"):
        for other in models[1:]:
            ours, theirs = getattr(models[0], name), getattr(other, name)
            if ours != theirs:
                raise DiffersError(
                    f"{name} of {models[0].model} is {ours}, of {other.model} {theirs}",
                    hint="compare models that were scored on one benchmark by one face pack",
                )


def _shots(models: Mapping[str, Scored]) -> tuple[list[Shot], list[LeftOut]]:
    shots: list[Shot] = []
    left_out: list[LeftOut] = []
    for key in dict.fromkeys(key for model in models.values() for key in model.items):
        having = {label: m.items[key] for label, m in models.items() if key in m.items}
        _same_people(key, having)
        item = next(iter(having.values()))
        for number in range(max(len(item.pictures) for item in having.values())):
            lacking = [
                LeftOut(key=key, number=number, model=label, reason=reason)
                for label in models
                if (reason := _lack(having.get(label), number))
            ]
            left_out += lacking
            if not lacking:
                identities = tuple(reference.identity for reference in item.references)
                shots.append(Shot(key=key, number=number, group=item.group, identities=identities))
    return shots, left_out


def _lack(item: Item | None, number: int) -> str:
    if item is None:
        return "the item is missing"
    if number >= len(item.pictures):
        return "the picture is missing"
    return item.pictures[number].error


def _same_people(key: str, items: Mapping[str, Item]) -> None:
    (label, item), *others = items.items()
    for other_label, other in others:
        if (item.references, item.group) != (other.references, other.group):
            raise DiffersError(
                f"item {key!r} asks for {[r.identity for r in item.references]} in group "
                f"{item.group} under {label}, for {[r.identity for r in other.references]} in "
                f"group {other.group} under {other_label}"
            )
