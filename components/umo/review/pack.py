"""The review pack: one self-contained HTML page that a person reads before a decision.

It asks for nothing over the network, by its own content security policy, and works in MLflow's
artifact viewer, a sandboxed frame without an origin. The same inputs give the same bytes, so its
digest stands for what the reviewer saw.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from umo import config
from umo.data.shards import Dataset
from umo.evaluation.figures import colour
from umo.evaluation.metrics import mean
from umo.evaluation.page import environment, interval_text, svg_uri
from umo.evaluation.plots import similarity_by_people, training_curves
from umo.files import sha256, write_text
from umo.review import facts
from umo.review.compare import BASE, CANDIDATE, CHAMPION, Comparison, Subject, compare
from umo.review.evidence import Evidence
from umo.review.exhibits import exhibit
from umo.review.gates import Verdict
from umo.review.policy import Policy

NAME = "review.html"
TEMPLATES = Path(__file__).parent / "templates"
BUDGET = 5_000_000
"""Characters of the models' pictures; the whole page stays below about 8 MB."""


def write(
    out: Path,
    *,
    candidate: Subject,
    champion: Subject | None,
    evidence: Evidence,
    verdicts: Sequence[Verdict],
    policy: Policy,
    references: Path | None = None,
    about: Mapping[str, str] | None = None,
    budget: int = BUDGET,
) -> str:
    """Write the review pack of a candidate.

    Args:
        out: The HTML file.
        candidate: What is reviewed.
        champion: What it would replace.
        evidence: As `umo.review.evidence.gather` read it.
        verdicts: As `umo.review.gates.judge` gave them.
        policy: What was judged by.
        references: The held-out dataset, for pictures of the people; without it there are none.
        about: More to say of the version, for example its trainer; name -> text.
        budget: Characters that the models' pictures may take.

    Returns:
        sha256 of the page.

    Raises:
        NotFoundError: A folder has no manifest.
        DiffersError: A file is not the one its manifest names, or the folders do not belong
            together.
    """
    comparison = compare(candidate, champion)
    dataset = Dataset(references) if references else None
    by_people = _by_people(comparison)
    titles = {role: role for role in comparison.roles}
    page = (
        environment(TEMPLATES)
        .get_template("review.html")
        .render(
            candidate=candidate,
            champion=champion,
            evidence=evidence,
            verdicts=verdicts,
            verdict=verdict_line(verdicts),
            numbers=numbers_line(comparison, evidence),
            roles=comparison.roles,
            names=comparison.names,
            note=comparison.note,
            against=CHAMPION if CHAMPION in comparison.roles else BASE,
            scores=_scores(comparison),
            by_people=by_people,
            plot=svg_uri(
                similarity_by_people(
                    {"by_people": by_people, "scale": comparison.summary["scale"]}, titles
                )
            ),
            curves=_curves(candidate.evaluation, comparison.labels[CANDIDATE]),
            exhibition=exhibit(comparison, dataset, budget=budget),
            colour=colour,
            lineage={**facts.lineage(evidence), **(about or {}), "Policy": config.digest(policy)},
            licences=facts.licences(evidence),
            consents=facts.consents(evidence),
            policy=json.dumps(config.to_mapping(policy), indent=1),
            made=json.dumps(evidence.made, indent=1, sort_keys=True),
            judged=json.dumps(evidence.judged["config"], indent=1, sort_keys=True),
        )
    )
    write_text(out, page)
    return sha256(out)


def verdict_line(verdicts: Sequence[Verdict]) -> str:
    """What the gates say together, in one sentence."""
    failed = [verdict.gate for verdict in verdicts if not verdict.passed]
    if failed:
        return f"May not be approved: {len(failed)} of {len(verdicts)} gates stop it " + (
            f"({', '.join(failed)})."
        )
    waived = [verdict.gate for verdict in verdicts if verdict.waived]
    unmeasured = [verdict.gate for verdict in verdicts if verdict.outcome == "not measured"]
    parts = [f"{len(verdicts) - len(waived) - len(unmeasured)} gates pass"]
    parts += [f"{len(waived)} waived ({', '.join(waived)})"] if waived else []
    parts += [f"{len(unmeasured)} not measured ({', '.join(unmeasured)})"] if unmeasured else []
    return f"May be approved: {', '.join(parts)}."


def numbers_line(comparison: Comparison, evidence: Evidence) -> str:
    """What the candidate gains, in one sentence."""
    scores = evidence.scores
    parts = [
        f"{name} {scores[BASE][metric]:.1f} → {scores[CANDIDATE][metric]:.1f} "
        f"({interval_text(evidence.gain[metric])})"
        for metric, name in (("id_sim", "ID-Sim"), ("id_conf", "ID-Conf"))
    ]
    line = f"Against base: {', '.join(parts)}."
    if CHAMPION in comparison.roles:
        gains = [comparison.gain(metric, over=CHAMPION) for metric in ("id_sim", "id_conf")]
        line += (
            f" Against the champion: ID-Sim {interval_text(gains[0])}, "
            f"ID-Conf {interval_text(gains[1])}."
        )
    return line


def _scores(comparison: Comparison) -> list[dict[str, Any]]:
    """A row for each model: levels by both embedders and differences by the judge."""
    expected = sum(len(i.identities) * len(i.pictures[BASE]) for i in comparison.items)
    rows = []
    for role in comparison.roles:
        others = comparison.roles[: comparison.roles.index(role)] if role == CANDIDATE else (BASE,)
        rows.append(
            {
                "role": role,
                "judge": {
                    metric: {
                        "level": mean(comparison.values(role, metric)),
                        "gains": {
                            over: comparison.gain(metric, over=over, role=role)
                            for over in others
                            if over != role
                        },
                    }
                    for metric in ("id_sim", "id_conf")
                },
                "reward": mean(comparison.values(role, "id_sim", "reward")),
                "found": comparison.faces_found(role),
                "expected": expected,
            }
        )
    return rows


def _by_people(comparison: Comparison) -> dict[str, Any]:
    """By number of people: items, and each model's ID-Sim with its interval, ID-Conf and faces."""
    groups = {}
    for count in sorted({len(item.identities) for item in comparison.items}):
        part = comparison.with_people(count)
        groups[str(count)] = {
            "count": len(part.items),
            "models": {
                role: {
                    "id_sim": asdict(part.level(role, "id_sim")),
                    "id_conf": mean(part.values(role, "id_conf")),
                    "found": part.faces_found(role),
                    "expected": sum(count * len(item.pictures[role]) for item in part.items),
                }
                for role in comparison.roles
            },
        }
    return groups


def _curves(evaluation: Path, label: str) -> str:
    path = evaluation / "curves" / f"{label}.jsonl"
    if not path.is_file():
        return ""
    log = [json.loads(line) for line in path.read_text().splitlines()]
    return svg_uri(training_curves({CANDIDATE: log}, {CANDIDATE: CANDIDATE}))
