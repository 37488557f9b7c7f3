"""Gates: a policy, declared in YAML, judged on evidence; each says what, threshold and measured.

Reward hacking, in numbers: with `reward` the gain in ID-Sim by the embedder that training saw and
`judge` the gain by the one it never saw, both with their paired intervals, and `closed` as in
`umo.review.evidence`, a candidate fails if

    reward.low > 0  and  (judge.low <= 0  or  closed_judge < judge_follows * closed_reward).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from umo.evaluation.metrics import Interval
from umo.evaluation.page import interval_text, percent, signed
from umo.review.compare import BASE, CANDIDATE
from umo.review.evidence import Evidence, Licensed
from umo.review.policy import GATES, Margin, Policy

NO_DATA = "the training data was not named"

Outcome = Literal["passed", "failed", "not measured"]


@dataclass(frozen=True, kw_only=True)
class Waiver:
    """Somebody's recorded decision to let one gate of these weights pass."""

    gate: str
    actor: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one gate found."""

    gate: str
    """Its name."""
    what: str
    """What it checks."""
    threshold: str
    """What would pass."""
    measured: str
    """What was found."""
    outcome: Outcome
    passed: bool
    """Whether the candidate may go on: passed, waived, or allowed not to be measured."""
    waived: str = ""
    """Who waived it and why."""

    @property
    def word(self) -> str:
        """The verdict as a person reads it."""
        if self.waived:
            return "waived"
        if self.outcome == "not measured":
            return "not measured" if self.passed else "not measured, but required"
        return self.outcome

    def __str__(self) -> str:
        waiver = f" ({self.waived})" if self.waived else ""
        return (
            f"{self.gate}: {self.word}{waiver}: {self.what}; threshold: {self.threshold}; "
            f"measured: {self.measured}"
        )


def judge(policy: Policy, evidence: Evidence, waivers: Sequence[Waiver] = ()) -> list[Verdict]:
    """Judge a candidate by every gate.

    Args:
        policy: The thresholds.
        evidence: What is known.
        waivers: Those recorded for these weights; one for a gate that the policy does not let
            waive changes nothing.
    """
    verdicts = [
        _items(policy, evidence),
        _unseen(evidence),
        _gain("id_sim", policy.id_sim_gain, evidence),
        _gain("id_conf", policy.id_conf_gain, evidence),
        _faces(policy, evidence),
        *(
            _margin(name, rule, evidence.measures.get(name), "the evaluation has none")
            for name, rule in (
                ("prompt_following", policy.prompt_following),
                ("picture_quality", policy.picture_quality),
            )
        ),
        _margin("champion", policy.champion, evidence.champion_gain, evidence.champion_note),
        _reward_hacking(policy, evidence),
        _licences("base_licence", policy, [evidence.base]),
        _licences("face_pack_licence", policy, evidence.face_packs),
        _data_licence(policy, evidence),
        _consent(policy, evidence),
        _safetensors(evidence),
    ]
    granted = {w.gate: w for w in waivers if w.gate in policy.waivable}
    return [_waive(verdict, granted.get(verdict.gate)) for verdict in verdicts]


def _verdict(gate: str, threshold: str, measured: str, *, passed: bool) -> Verdict:
    return Verdict(
        gate=gate,
        what=GATES[gate],
        threshold=threshold,
        measured=measured,
        outcome="passed" if passed else "failed",
        passed=passed,
    )


def _not_measured(gate: str, threshold: str, why: str, *, required: bool) -> Verdict:
    return Verdict(
        gate=gate,
        what=GATES[gate],
        threshold=threshold + (" (required)" if required else ""),
        measured=why,
        outcome="not measured",
        passed=not required,
    )


def _waive(verdict: Verdict, waiver: Waiver | None) -> Verdict:
    if waiver is None or verdict.passed:
        return verdict
    return replace(verdict, passed=True, waived=f"{waiver.actor}: {waiver.reason}")


def _items(policy: Policy, evidence: Evidence) -> Verdict:
    return _verdict(
        "items",
        f"at least {policy.items}",
        f"{evidence.items} with {len(evidence.people)} people",
        passed=evidence.items >= policy.items,
    )


def _unseen(evidence: Evidence) -> Verdict:
    threshold = "nobody in both"
    if evidence.data is None:
        return _not_measured("unseen_people", threshold, NO_DATA, required=True)
    both = sorted(evidence.people & evidence.data.identities)
    measured = f"{len(evidence.people)} judged, {len(evidence.data.identities)} tuned on"
    return _verdict(
        "unseen_people",
        threshold,
        f"{measured}, {len(both)} in both" + (f", first {both[0]!r}" if both else ""),
        passed=not both,
    )


def _gain(metric: str, least: float, evidence: Evidence) -> Verdict:
    gain = evidence.gain[metric]
    return _verdict(
        metric,
        f"at least {signed(least)}, interval above 0",
        interval_text(gain),
        passed=gain.mean >= least and gain.low > 0,
    )


def _faces(policy: Policy, evidence: Evidence) -> Verdict:
    base, found = evidence.faces[BASE], evidence.faces[CANDIDATE]
    return _verdict(
        "faces",
        f"at most {100 * policy.faces_lost:g} % fewer than base",
        f"{found} of {evidence.faces['expected']} against {base}",
        passed=base - found <= policy.faces_lost * base,
    )


def _margin(gate: str, rule: Margin, gain: Interval | None, why: str) -> Verdict:
    threshold = f"interval above {signed(-rule.margin)}"
    if gain is None:
        return _not_measured(gate, threshold, why, required=rule.required)
    return _verdict(gate, threshold, interval_text(gain), passed=gain.low >= -rule.margin)


def _reward_hacking(policy: Policy, evidence: Evidence) -> Verdict:
    gains = {"reward": evidence.reward_gain, "judge": evidence.gain["id_sim"]}
    reward, judged = (evidence.closed[name] for name in gains)
    follows = reward is None or judged is None or judged >= policy.judge_follows * reward
    least = 100 * policy.judge_follows
    return _verdict(
        "reward_hacking",
        f"judge above 0, at least {least:g} % of the reward's share of the gap",
        "; ".join(
            f"{name} {interval_text(gain)}, {percent(evidence.closed[name])} of the gap"
            for name, gain in gains.items()
        ),
        passed=gains["reward"].low <= 0 or (gains["judge"].low > 0 and follows),
    )


def _licences(gate: str, policy: Policy, things: Sequence[Licensed]) -> Verdict:
    """A manifest's own word on commercial use decides; without one every licence must be listed."""
    passed = all(
        bool(thing.licences)
        if not policy.commercial
        else thing.commercial
        if thing.commercial is not None
        else bool(thing.licences)
        and all(licence in policy.allowed_licences for licence in thing.licences.values())
        for thing in things
    )
    return _verdict(
        gate,
        _licence_threshold(policy),
        "; ".join(_licence_text(thing) for thing in things),
        passed=passed,
    )


def _data_licence(policy: Policy, evidence: Evidence) -> Verdict:
    data = evidence.data
    if data is None:
        return _not_measured("data_licence", _licence_threshold(policy), NO_DATA, required=True)
    good = all(
        licence in policy.allowed_licences if policy.commercial else licence
        for licence in data.licences
    )
    return _verdict(
        "data_licence",
        _licence_threshold(policy),
        ", ".join(f"{licence or 'none recorded'} ({n})" for licence, n in data.licences.items()),
        passed=bool(good),
    )


def _consent(policy: Policy, evidence: Evidence) -> Verdict:
    threshold = "every identity has one"
    if evidence.data is None:
        return _not_measured("consent", threshold, NO_DATA, required=True)
    refused = {word.lower() for word in policy.no_consent}
    without = sorted(
        who
        for consent, people in evidence.data.consents.items()
        if consent.lower() in refused
        for who in people
    )
    counts = ", ".join(
        f"{len(people)} {consent or 'not recorded'}"
        for consent, people in sorted(evidence.data.consents.items())
    )
    return _verdict(
        "consent",
        threshold,
        counts + (f"; without consent: {len(without)}, first {without[0]!r}" if without else ""),
        passed=not without,
    )


def _safetensors(evidence: Evidence) -> Verdict:
    return _verdict(
        "safetensors",
        "no such file",
        "; ".join(evidence.unsafe) or "none",
        passed=not evidence.unsafe,
    )


def _licence_threshold(policy: Policy) -> str:
    return "allows commercial use" if policy.commercial else "recorded"


def _licence_text(thing: Licensed) -> str:
    parts = ", ".join(f"{part} {licence}" for part, licence in thing.licences.items())
    said = {None: "", True: " (states: commercial)", False: " (states: non-commercial)"}
    return f"{thing.name}: {parts or 'none recorded'}{said[thing.commercial]}"
