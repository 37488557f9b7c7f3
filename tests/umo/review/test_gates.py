"""Each gate, alone, on both sides of its threshold; the policy and its waivers."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from umo.errors import NotFoundError, UsageError
from umo.evaluation.metrics import Interval
from umo.review.evidence import DataRecord, Evidence, Licensed, gather
from umo.review.gates import Verdict, Waiver, judge
from umo.review.policy import GATES, Margin, Policy, check_waivable, load_policy

FLUX = Licensed(name="flux", digest="f", licences={"weights": "FLUX.1 [dev] Non-Commercial"})
ANTELOPE = Licensed(name="insightface:a", digest="a", licences={"x": "MIT"}, commercial=False)


@pytest.fixture
def policy() -> Policy:
    return replace(load_policy(), items=8)


@pytest.fixture
def evidence(small: Any) -> Evidence:
    return gather(
        train=small.train, evaluation=small.evaluation, data=small.tune, champion=small.champion
    )


def points(mean: float, low: float, high: float | None = None) -> Interval:
    return Interval(mean=mean, low=low, high=2 * mean - low if high is None else high)


def record(**changes: Any) -> DataRecord:
    facts: dict[str, Any] = {
        "digest": "d",
        "samples": 2,
        "licences": {"MIT": 2},
        "sources": {"photographs": 2},
        "consents": {"form 12": frozenset({"ann"})},
    }
    return DataRecord(**facts | changes)


def outcomes(verdicts: list[Verdict]) -> dict[str, str]:
    return {verdict.gate: verdict.outcome for verdict in verdicts if verdict.outcome != "passed"}


UNMEASURED = {"prompt_following": "not measured", "picture_quality": "not measured"}


def test_a_good_candidate_passes_all_that_is_measured(policy: Policy, evidence: Evidence) -> None:
    verdicts = judge(policy, replace(evidence, champion_gain=points(3, 1)))
    assert [verdict.gate for verdict in verdicts] == list(GATES)
    assert outcomes(verdicts) == UNMEASURED
    assert all(verdict.passed for verdict in verdicts)
    assert all(verdict.threshold and verdict.measured for verdict in verdicts)


@pytest.mark.parametrize(
    ("gate", "changes", "says"),
    [
        ("items", {"items": 7}, "7 with"),
        ("unseen_people", {"data": record(consents={"x": frozenset({"held-out-0-0"})})}, "'held-"),
        ("id_sim", {"gain": {"id_sim": points(5, -0.1), "id_conf": points(5, 1)}}, "+5.0 [−0.1"),
        ("id_conf", {"gain": {"id_sim": points(50, 49), "id_conf": points(5, 0)}}, "+5.0 [+0.0"),
        ("faces", {"faces": {"base": 100, "candidate": 99, "expected": 100}}, "99 of 100 against"),
        ("champion", {"champion_gain": points(0.5, -1.1)}, "+0.5 [−1.1"),
        ("prompt_following", {"measures": {"prompt_following": points(-1, -2.1)}}, "−1.0 [−2.1"),
        ("picture_quality", {"measures": {"picture_quality": points(-1, -2.1)}}, "−1.0 [−2.1"),
        ("base_licence", {"base": FLUX}, "Non-Commercial"),
        ("base_licence", {"base": replace(FLUX, licences={})}, "none recorded"),
        ("face_pack_licence", {"face_packs": (ANTELOPE,)}, "states: non-commercial"),
        ("data_licence", {"data": record(licences={"MIT": 1, "": 1})}, "none recorded (1)"),
        ("data_licence", {"data": record(licences={"CC-BY-NC-4.0": 2})}, "CC-BY-NC-4.0 (2)"),
        ("consent", {"data": record(consents={"": frozenset({"bob"})})}, "1, first 'bob'"),
        ("consent", {"data": record(consents={"Unknown": frozenset({"bob"})})}, "1, first 'bob'"),
        ("safetensors", {"unsafe": ("a.pt may hold a pickle",)}, "a.pt"),
    ],
)
def test_one_bad_fact_fails_one_gate(
    policy: Policy, evidence: Evidence, gate: str, changes: dict[str, Any], says: str
) -> None:
    good = replace(evidence, champion_gain=points(3, 1))
    verdicts = judge(policy, replace(good, **changes))
    failed = {verdict.gate: verdict for verdict in verdicts if verdict.outcome == "failed"}
    assert list(failed) == ([gate] if gate != "id_sim" else ["id_sim", "reward_hacking"])
    assert not failed[gate].passed
    assert failed[gate].word == "failed"
    assert says in failed[gate].measured
    assert str(failed[gate]).startswith(f"{gate}: failed: {GATES[gate]}; threshold: ")


def test_thresholds_are_inclusive_where_they_say_at_least(
    policy: Policy, evidence: Evidence
) -> None:
    at_the_edge = replace(
        evidence,
        items=8,
        gain={"id_sim": points(1.0, 0.1), "id_conf": points(0.2, 0.1)},
        closed={"reward": 0.6, "judge": 0.3},
        faces={"base": 200, "candidate": 200, "expected": 200},
        champion_gain=points(0, -1.0),
    )
    assert outcomes(judge(policy, at_the_edge)) == UNMEASURED


@pytest.mark.parametrize(
    ("reward", "judged", "closed", "outcome"),
    [
        (points(50, 48), points(45, 43), (0.7, 0.65), "passed"),
        (points(50, 48), points(1.5, -0.5), (0.7, 0.02), "failed"),
        (points(50, 48), points(10, 8), (1.0, 0.23), "failed"),
        (points(50, 48), points(25, 23), (0.7, 0.35), "passed"),
        (points(1, -0.5), points(-1, -2), (0.01, -0.01), "passed"),
        (points(5, 4), points(5, 4), (None, 0.1), "passed"),
        (points(5, 4), points(-5, -6), (None, None), "failed"),
    ],
    ids=["follows", "flat", "lags", "just", "reward-flat", "no-ceiling", "no-ceiling-flat"],
)
def test_reward_hacking(
    policy: Policy,
    evidence: Evidence,
    reward: Interval,
    judged: Interval,
    closed: tuple[float | None, float | None],
    outcome: str,
) -> None:
    facts = replace(
        evidence,
        reward_gain=reward,
        gain={"id_sim": judged, "id_conf": points(5, 1)},
        closed=dict(zip(("reward", "judge"), closed, strict=True)),
    )
    (verdict,) = [v for v in judge(policy, facts) if v.gate == "reward_hacking"]
    assert verdict.outcome == outcome


def test_what_is_not_measured_may_be_required(policy: Policy, evidence: Evidence) -> None:
    strict = replace(policy, prompt_following=Margin(margin=2, required=True))
    verdicts = {verdict.gate: verdict for verdict in judge(strict, evidence)}
    assert verdicts["prompt_following"].word == "not measured, but required"
    assert not verdicts["prompt_following"].passed
    assert verdicts["picture_quality"].word == "not measured"
    assert verdicts["picture_quality"].passed


def test_without_the_training_data_nothing_is_taken_on_trust(
    policy: Policy, evidence: Evidence
) -> None:
    verdicts = judge(policy, replace(evidence, data=None, champion_gain=None))
    stopped = {verdict.gate for verdict in verdicts if not verdict.passed}
    assert stopped == {"unseen_people", "data_licence", "consent"}
    assert all(v.outcome == "not measured" for v in verdicts if v.gate in stopped)


def test_research_policy_asks_only_that_licences_are_recorded(
    policy: Policy, evidence: Evidence
) -> None:
    research = replace(policy, commercial=False)
    facts = replace(
        evidence,
        base=FLUX,
        face_packs=(ANTELOPE,),
        data=record(licences={"CC-BY-NC-4.0": 2}),
        champion_gain=None,
    )
    assert all(verdict.passed for verdict in judge(research, facts))
    nameless = replace(facts, base=replace(FLUX, licences={}), data=record(licences={"": 2}))
    failed = [verdict.gate for verdict in judge(research, nameless) if not verdict.passed]
    assert failed == ["base_licence", "data_licence"]


def test_a_waiver_passes_its_gate_and_is_shown(policy: Policy, evidence: Evidence) -> None:
    facts = replace(evidence, face_packs=(ANTELOPE,), champion_gain=points(3, 1))
    waivers = [
        Waiver(gate="face_pack_licence", actor="lena", reason="licence bought, order 7"),
        Waiver(gate="items", actor="lena", reason="nothing to waive here"),
    ]
    verdicts = {verdict.gate: verdict for verdict in judge(policy, facts, waivers)}
    waived = verdicts["face_pack_licence"]
    assert waived.passed
    assert waived.outcome == "failed"
    assert (waived.word, waived.waived) == ("waived", "lena: licence bought, order 7")
    assert "waived (lena: licence bought, order 7)" in str(waived)
    assert verdicts["items"].waived == ""


def test_a_gate_that_cannot_be_waived_stays_failed(policy: Policy, evidence: Evidence) -> None:
    facts = replace(evidence, unsafe=("a.pt may hold a pickle",))
    waivers = [Waiver(gate="safetensors", actor="lena", reason="trust me")]
    (verdict,) = [v for v in judge(policy, facts, waivers) if v.gate == "safetensors"]
    assert not verdict.passed
    with pytest.raises(UsageError, match="'safetensors' cannot be waived; the policy lets waive"):
        check_waivable(policy, "safetensors")
    with pytest.raises(UsageError, match="no gate 'licence'"):
        check_waivable(policy, "licence")
    check_waivable(policy, "base_licence")


def test_a_policy_file_changes_only_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("id_sim_gain: 5\npicture_quality: {required: true}\nwaivable: []\n")
    changed, default = load_policy(path), load_policy()
    assert changed.picture_quality == Margin(margin=2.0, required=True)
    differences = {key for key, value in asdict(changed).items() if value != asdict(default)[key]}
    assert differences == {"id_sim_gain", "picture_quality", "waivable"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id_simm_gain: 1", "unknown key 'id_simm_gain'"),
        ("champion: {margn: 1}", "unknown key 'margn'"),
        ("items: many", "items is 'many'"),
        ("faces_lost: 2", "faces_lost is 2.0; it is a share"),
        ("champion: {margin: -1}", "margin is -1.0; it must be at least 0"),
        ("waivable: [consnt]", "waivable names no gate: 'consnt'"),
        ("- items", "not a mapping"),
    ],
)
def test_a_wrong_policy_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=says.replace("(", r"\(")):
        load_policy(path)


def test_a_missing_policy(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        load_policy(tmp_path / "none.yaml")
