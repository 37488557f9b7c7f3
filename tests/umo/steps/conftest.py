"""An untrained base and a few rendered samples, once for all tests of the steps."""

from pathlib import Path

import pytest

from umo.bases.embedded import tiny
from umo.data.render import RenderConfig
from umo.evaluation.evaluate import EvaluationConfig
from umo.files import write_manifest
from umo.steps import synthesize
from umo.steps.layout import Layout
from umo.steps.run import RunConfig
from umo.training.rerefl import RereflConfig


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    tiny(0).save(folder)
    write_manifest(folder, {"kind": "base", "name": "tiny"})
    return folder


@pytest.fixture(scope="session")
def config(base: Path) -> RunConfig:
    return RunConfig(
        base=str(base),
        tune=RenderConfig(split="tune", samples=2, people={2: 1.0}),
        held_out=RenderConfig(split="held-out", samples=2, people={2: 1.0}),
        train=RereflConfig(steps=1, batch=2, rank=2, rollout_steps=2, window=(1, 2), log_every=1),
        evaluation=EvaluationConfig(steps=1, resamples=20),
    )


@pytest.fixture(scope="session")
def data(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    layout = Layout(tmp_path_factory.mktemp("data"))
    synthesize.run(config.tune, folder=layout.data("tune"))
    synthesize.run(config.held_out, folder=layout.data("held-out"))
    return layout
