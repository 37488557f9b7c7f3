import json
from pathlib import Path

import pytest

from umo.data.shards import Dataset
from umo.errors import UsageError
from umo.steps.ablation import ARMS, AblationConfig, ablation, table
from umo.steps.run import RunConfig


def test_arms_differ_in_the_reward_and_are_reused(config: RunConfig, tmp_path: Path) -> None:
    phases: list[str] = []
    settings = AblationConfig(run=config, seeds=(4,))
    result = ablation(settings, tmp_path, lambda facts: phases.append(facts["phase"]))
    assert list(result["arms"]) == ["base", "fine-tuning", "rerefl-sir", "rerefl-mimr"]
    assert json.loads((tmp_path / "ablation.json").read_text()) == result

    tuned = [json.loads((tmp_path / arm / "seed-4/manifest.json").read_text()) for arm in ARMS]
    configs = [facts["config"] for facts in tuned]
    assert [facts.pop("reward") for facts in configs] == ["none", "single", "matching"]
    assert configs[0] == configs[1] == configs[2]
    assert configs[0]["seed"] == 4
    together, alone = (Dataset(tmp_path / "data" / part) for part in ("tune", "tune-alone"))
    assert [facts["data"] for facts in tuned] == [together.digest, alone.digest, together.digest]
    assert [who for one in alone for who in one.identities] == [
        who for scene in together for who in scene.identities
    ]

    assert {"tune", "rerefl-mimr, seed 4", "evaluation, seed 4"} <= set(phases)
    phases.clear()
    assert ablation(settings, tmp_path, lambda facts: phases.append(facts["phase"])) == result
    assert not phases


def test_table_stands_beside_the_published_one() -> None:
    scores = {"faces_found": 3, "faces_expected": 4}
    arm = {
        "seeds": {"0": scores},
        "mean": {"id_sim": 20.0, "id_conf": 50.0},
        "published": {"id_sim": 31.82, "id_conf": 61.06},
    }
    lines = table({"arms": {"base": arm}}).splitlines()
    assert lines[0].startswith("arm   ID-Sim")
    assert lines[1].split() == ["base", "20.00", "50.00", "75.00", "31.82", "61.06"]


@pytest.mark.parametrize("seeds", [(), (1, 1)])
def test_seeds_are_different_and_there(seeds: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="seeds are"):
        AblationConfig(seeds=seeds)
