import pytest

from umo.config import digest, from_mapping, to_mapping
from umo.data.render import RenderConfig
from umo.errors import UsageError
from umo.steps.run import RunConfig
from umo.training.rerefl import RereflConfig


def test_run_has_one_seed() -> None:
    assert RunConfig(seed=3).tuning.seed == 3
    with pytest.raises(UsageError, match=r"train\.seed is 5 and seed 3"):
        RunConfig(seed=3, train=RereflConfig(seed=5))


def test_splits_cannot_be_mixed_up() -> None:
    with pytest.raises(UsageError, match=r"held_out\.split is 'tune'"):
        RunConfig(held_out=RenderConfig(split="tune"))


def test_settings_survive_the_way_through_text() -> None:
    config = RunConfig(seed=2, tune=RenderConfig(people={2: 0.5, 3: 0.5}))
    assert digest(from_mapping(RunConfig, to_mapping(config))) == digest(config)
