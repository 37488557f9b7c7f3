"""Facts of a candidate as pairs of a name and a text, for the review pack and the model card."""

from collections.abc import Mapping
from typing import Any

from umo.review.evidence import DataRecord, Evidence, Licensed

UNKNOWN = "not recorded"


def lineage(evidence: Evidence) -> dict[str, str]:
    """What the version was made from, and where."""
    made, judged = evidence.made, evidence.judged["lineage"]
    return {
        "Weights": f"sha256 {evidence.weights}",
        "Manifest": made["digest"],
        "Training data": f"{made['data']}{_contents(evidence.data)}",
        "Held-out data": f"{judged['dataset']['digest']}, {evidence.items} items with "
        f"{len(evidence.people)} people",
        "Base": f"{evidence.base.name} {evidence.base.digest}",
        **{
            f"Face pack{' of the judging' if number else ''}": f"{pack.name} {pack.digest}"
            for number, pack in enumerate(evidence.face_packs)
        },
        "Code": made.get("code", UNKNOWN),
        "Code of the judging": judged["code"],
        "Seed": str(made.get("seed", UNKNOWN)),
        "Machine": _machine(made.get("machine", {})),
    }


def licences(evidence: Evidence) -> list[tuple[str, str, str]]:
    """Thing, part and licence of everything that went in."""
    rows = _licensed("base", evidence.base)
    for pack in evidence.face_packs:
        rows += _licensed("face pack", pack)
    if evidence.data is None:
        return [*rows, ("training data", "", UNKNOWN)]
    return rows + [
        ("training data", f"{count} samples", licence or UNKNOWN)
        for licence, count in sorted(evidence.data.licences.items())
    ]


def consents(evidence: Evidence) -> dict[str, int]:
    """Identities of the training data by what is recorded of their consent."""
    if evidence.data is None:
        return {}
    return {
        consent or UNKNOWN: len(people)
        for consent, people in sorted(evidence.data.consents.items())
    }


def _licensed(kind: str, thing: Licensed) -> list[tuple[str, str, str]]:
    name = f"{kind} {thing.name}"
    if not thing.licences:
        return [(name, "", UNKNOWN)]
    return [(name, part, licence) for part, licence in thing.licences.items()]


def _contents(data: DataRecord | None) -> str:
    if data is None:
        return ""
    sources = ", ".join(source or UNKNOWN for source in sorted(data.sources))
    return f", {data.samples} samples with {len(data.identities)} people, {sources}"


def _machine(machine: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in machine.items()) or UNKNOWN
