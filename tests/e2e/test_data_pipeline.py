"""The data pipeline on kfp's local runner makes the bytes of one command."""

import json
from pathlib import Path

import pytest

from services.footage import scene, write_photos
from umo.config import from_mapping, to_mapping
from umo.files import read_manifest
from umo.harvest.harvest import HarvestConfig
from umo.harvest.sources import Source
from umo.steps import harvest
from umo.steps.dataset import DatasetConfig, Harvest
from umo.steps.journal import journal_path, read
from umo.steps.layout import Layout
from umo_pipelines.orders import data_values, run_here

pytestmark = pytest.mark.slow

SETTINGS = from_mapping(HarvestConfig, {"units": {"block": 1}})


def order(photos: Path) -> DatasetConfig:
    named = {"licence": "CC0-1.0", "consent": "nobody is shown"}
    source = Source(kind="photos", folder=photos, **named)
    return DatasetConfig(harvest=Harvest(sources=(source,), settings=SETTINGS))


def test_a_harvest_in_shares_is_that_of_one_process(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "run"
    scenes = [
        scene([5, 6], [0.2, -0.2], "in a park", seed=1),
        scene([5], [-0.25], "at sunset", seed=2),
        scene([6], [0.25], "by a window", seed=3),
    ]
    write_photos(photos, scenes)
    (photos / "empty.jpg").touch()
    config = order(photos)
    assert from_mapping(DatasetConfig, json.loads(json.dumps(to_mapping(config)))) == config
    assert config.harvest
    harvest.run(SETTINGS, config.harvest.sources, folder=tmp_path / "one")

    run_here("data", data_values(config, out, shares=2), out)
    made = Layout(out).made
    assert read_manifest(made, verify=True) == read_manifest(tmp_path / "one", verify=True)
    assert {path.name for path in made.parent.iterdir()} == {"made", "made-report"}
    (line,) = (made.with_name("made-report") / "refused.jsonl").read_text().splitlines()
    assert json.loads(line)["file"] == "empty.jpg"
    ended = {e["step"]: e["reused"] for e in read(journal_path(out)) if e["event"] == "finished"}
    assert ended == {"work 0/2": False, "work 1/2": False, "collect": False}
