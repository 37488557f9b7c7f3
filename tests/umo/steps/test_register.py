import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from umo.errors import DiffersError
from umo.files import sha256, write_manifest
from umo.steps import register
from umo.steps.layout import Layout
from umo.tracking import Run


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    layout.train.mkdir()
    layout.evaluation.mkdir()
    save_file({"weight": torch.ones(2)}, layout.train / "lora.safetensors")
    (layout.train / "metrics.jsonl").write_text(json.dumps({"step": 1, "reward": 0.25}))
    facts = {"base": {"name": "tiny", "digest": "b"}, "config": {"lr": 0.1}, "data": "d"}
    rest = {"face_pack": {"name": "open"}, "code": "c", "weights": "w"}
    write_manifest(layout.train, {**facts, **rest})
    (layout.evaluation / "summary.json").write_text(json.dumps({"gain": {"id_sim": 4.0}}))
    (layout.evaluation / "report.html").write_text("<p>report</p>")
    write_manifest(layout.evaluation, {})
    return layout


def test_run_and_version_are_recorded_once(layout: Layout) -> None:
    first = register.run("people", layout=layout)
    version = json.loads(layout.version.read_text())
    again = register.run("people", layout=layout)

    assert (first.reused, again.reused) == (False, True)
    assert first.digest == again.digest == sha256(layout.train / "lora.safetensors")
    assert json.loads(layout.version.read_text()) == version
    assert (version["model"], version["version"]) == ("people-candidates", 1)

    record = Run.open(layout.out, name="people", identity="other").client.get_run(version["run"])
    assert record.info.status == "FINISHED"
    assert record.data.params["config.lr"] == "0.1"
    assert record.data.metrics == {"curve.reward": 0.25, "gain.id_sim": 4.0}
    artifacts = layout.out / "artifacts" / version["run"] / "artifacts"
    assert (artifacts / "evaluation/report.html").is_file()


def test_changed_weights_are_refused(layout: Layout) -> None:
    (layout.train / "lora.safetensors").write_bytes(b"other")
    with pytest.raises(DiffersError, match=r"lora\.safetensors"):
        register.run("people", layout=layout)
