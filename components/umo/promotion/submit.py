"""Submission of a candidate: evidence, gates, report, model card, signature."""

import json
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from umo import signing
from umo.config import digest
from umo.errors import DeniedError
from umo.files import MANIFEST, sha256, write_manifest, write_text
from umo.ledger import Entry, Event, Ledger
from umo.promotion.case import EVALUATION, REVIEW, Case, refusals_recorded
from umo.promotion.steps import refuse_faults
from umo.promotion.verify import candidate_faults
from umo.registry import ARTIFACTS, Registry
from umo.review import card, pack
from umo.review.compare import Subject
from umo.review.evidence import gather
from umo.review.gates import Verdict, Waiver, judge
from umo.review.policy import Policy


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What came out of a submission."""

    report: str
    """sha256 of the report, which an approval names."""
    verdicts: list[Verdict]
    """What every gate found."""
    event: Event | None
    """The submission; nothing in a dry run, or when a gate failed."""


class GateError(DeniedError):
    """A gate failed; `submission` has all verdicts."""

    def __init__(self, case: Case, submission: Submission) -> None:
        failed = [verdict for verdict in submission.verdicts if not verdict.passed]
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        super().__init__(
            f"{case.title} fails the gate {failed[0]}{more}",
            hint=f"read its report: `umo models show {case.title}`",
        )
        self.submission = submission


def submit(
    registry: Registry,
    ledger: Ledger,
    name: str,
    number: int,
    *,
    actor: str,
    policy: Policy,
    data: Path | None = None,
    held_out: Path | None = None,
    base: Path | None = None,
    key: str = "",
    dry_run: bool = False,
) -> Submission:
    """Judge a candidate by the gates and hand its report to the reviewers.

    Report, model card, verdicts and signature become artifacts of its run, in `review/`. Doing it
    again with the same result adds nothing to the ledger.

    Args:
        registry: Where the candidate is.
        ledger: Where the verdicts and the submission go.
        name: Model name.
        number: Version of the candidate.
        actor: Who submits.
        policy: The gates' thresholds.
        data: Dataset that it was tuned on.
        held_out: Dataset that it was judged on, for pictures of the people.
        base: Folder of its base, if it is not the embedded one.
        key: Reference of the private key that signs; nothing to sign nothing.
        dry_run: Only judge.

    Raises:
        GateError: A gate failed.
        DiffersError: A file was changed since it was registered or judged.
        NotFoundError: There is no such version, or it was never judged.
    """
    case = Case.open(registry, ledger, name, number)
    with ExitStack() as stack:
        review = Path(stack.enter_context(tempfile.TemporaryDirectory())) / REVIEW
        with refusals_recorded(ledger, case.refused(actor, "submit"), dry_run=dry_run):
            refuse_faults(candidate_faults(registry, case, keys=""))
            model = stack.enter_context(registry.files(case.version.run))
            evaluation = stack.enter_context(registry.files(case.evaluation_run, EVALUATION))
            champion = _champion(registry, ledger, case, stack)
            candidate = Subject(
                name=case.version.title, weights=case.version.digest, evaluation=evaluation
            )
            evidence = gather(
                train=model, evaluation=evaluation, data=data, base=base, champion=champion
            )
        verdicts = judge(policy, evidence, _waivers(case))
        report = pack.write(
            review / pack.NAME,
            candidate=candidate,
            champion=champion,
            evidence=evidence,
            verdicts=verdicts,
            policy=policy,
            references=held_out,
        )
        card.write(review / card.NAME, name=case.title, evidence=evidence, verdicts=verdicts)
        plain = [asdict(verdict) for verdict in verdicts]
        write_text(review / "verdicts.json", json.dumps(plain, indent=1) + "\n")
        facts = {"kind": "review", "weights": case.version.digest, "policy": digest(policy)}
        write_manifest(review, facts)
        event = None
        if not dry_run:
            if key:
                signing.sign(review, key)
                signing.sign(model, key)
                registry.add_file(case.version.run, model / signing.SIGNATURE, ARTIFACTS)
            registry.add_files(case.version.run, review, REVIEW)
            entries = [
                *case.arrival(actor, case.evaluation_run, evaluation),
                *_entries(case, verdicts, actor, report=report, manifest=sha256(review / MANIFEST)),
            ]
            events = ledger.extend(entries)
            event = events[-1] if events else case.progress.submitted
    passed = all(verdict.passed for verdict in verdicts)
    submission = Submission(report=report, verdicts=verdicts, event=event if passed else None)
    if not passed:
        raise GateError(case, submission)
    return submission


def _champion(registry: Registry, ledger: Ledger, case: Case, stack: ExitStack) -> Subject | None:
    """The champion that the candidate would replace."""
    crowned = ledger.champion(case.name)
    if crowned is None or crowned.weights == case.version.digest:
        return None
    champion = Case.open(registry, ledger, case.name, crowned.version)
    evaluation = stack.enter_context(registry.files(champion.evaluation_run, EVALUATION))
    return Subject(name=champion.version.title, weights=crowned.weights, evaluation=evaluation)


def _waivers(case: Case) -> list[Waiver]:
    """Those of people who did not train it."""
    return [
        Waiver(gate=event.details["gate"], actor=event.actor, reason=event.reason)
        for event in case.progress.waivers
        if event.actor not in case.progress.trainers
    ]


def _entries(
    case: Case, verdicts: list[Verdict], actor: str, *, report: str, manifest: str
) -> list[Entry]:
    """The verdicts and, if every gate let it pass, the submission; nothing if they are known."""
    known = case.progress.gates
    if known and known[-1].details["manifest"] == manifest:
        return []
    entries = [
        case.entry(
            "gate_passed" if verdict.passed else "gate_failed",
            actor,
            report=report,
            details={**asdict(verdict), "manifest": manifest},
        )
        for verdict in verdicts
    ]
    if all(verdict.passed for verdict in verdicts):
        details = {"manifest": manifest}
        entries.append(case.entry("submitted", actor, report=report, details=details))
    return entries
