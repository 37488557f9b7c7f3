"""The folder of a real evaluation: what is read from it agrees with what it says of itself."""

import json
from pathlib import Path

import pytest

from umo.data.render import RenderConfig
from umo.evaluation.evaluate import EvaluationConfig
from umo.files import read_manifest
from umo.review import card, pack
from umo.review.compare import Subject, compare
from umo.review.evidence import gather
from umo.review.gates import judge
from umo.review.policy import load_policy
from umo.steps import evaluate, synthesize
from umo.steps.evaluate import REFERENCE


@pytest.mark.slow
def test_the_shipped_lora_is_reviewed(tmp_path: Path) -> None:
    held_out, evaluation = tmp_path / "held-out", tmp_path / "evaluation"
    synthesize.run(RenderConfig(split="held-out", samples=4), folder=held_out)
    evaluate.run(
        EvaluationConfig(steps=8, resamples=200),
        base="embedded",
        pack="open",
        data=held_out,
        tuned={"tuned": REFERENCE},
        folder=evaluation,
    )
    weights = read_manifest(REFERENCE)["weights"]
    candidate = Subject(name="shipped", weights=weights, evaluation=evaluation)
    summary = json.loads((evaluation / "summary.json").read_text())
    comparison = compare(candidate)
    for metric, said in summary["gain"]["tuned"].items():
        gain = comparison.gain(metric)
        assert (gain.mean, gain.low, gain.high) == pytest.approx(
            (said["mean"], said["low"], said["high"]), abs=1e-3
        )
    evidence = gather(train=REFERENCE, evaluation=evaluation)
    models = summary["models"]
    assert evidence.faces == {
        "base": models["base"]["faces_found"],
        "candidate": models["tuned"]["faces_found"],
        "expected": models["base"]["faces_expected"],
    }
    assert evidence.closed["judge"] is not None
    assert evidence.closed["judge"] > 0.3
    verdicts = {verdict.gate: verdict for verdict in judge(load_policy(), evidence)}
    passing = ("id_sim", "reward_hacking", "base_licence", "face_pack_licence", "safetensors")
    assert all(verdicts[gate].outcome == "passed" for gate in passing)
    assert not verdicts["items"].passed
    assert not verdicts["consent"].passed
    pack.write(
        tmp_path / pack.NAME,
        candidate=candidate,
        champion=None,
        evidence=evidence,
        verdicts=list(verdicts.values()),
        policy=load_policy(),
        references=held_out,
    )
    assert "All 4 pictures" in (tmp_path / pack.NAME).read_text()
    card.write(
        tmp_path / card.NAME, name="shipped", evidence=evidence, verdicts=list(verdicts.values())
    )
    assert weights in (tmp_path / card.NAME).read_text()
