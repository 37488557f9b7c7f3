import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from umo.errors import DiffersError, UsageError
from umo.files import MANIFEST, sha256, write_manifest
from umo.ledger import Ledger
from umo.steps import register
from umo.steps.layout import Layout
from umo.store import LEDGER, TRACKING, Store
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


def test_run_and_version_are_recorded_once(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UMO_ACTOR", "anna")
    first = register.run("people", layout=layout)
    version = json.loads(layout.version.read_text())
    again = register.run("people", layout=layout)

    assert (first.reused, again.reused) == (False, True)
    assert first.digest == again.digest == sha256(layout.train / "lora.safetensors")
    assert json.loads(layout.version.read_text()) == version
    assert (version["model"], version["version"]) == ("people-candidates", 1)

    store = Store.local(layout.out)
    record = Run.open(store, name="people", identity="other").client.get_run(version["run"])
    assert record.info.status == "FINISHED"
    assert record.data.params["config.lr"] == "0.1"
    assert record.data.metrics == {"curve.reward": 0.25, "gain.id_sim": 4.0}
    artifacts = layout.out / "artifacts" / version["run"] / "artifacts"
    assert (artifacts / "evaluation/report.html").is_file()

    ledger = Ledger(store.ledger)
    registered, evaluated = ledger.events("people")
    assert (registered.kind, registered.actor, registered.version) == ("registered", "anna", 1)
    assert registered.details["manifest"] == sha256(layout.train / MANIFEST)
    assert (evaluated.kind, evaluated.previous) == ("evaluated", "registered")
    assert evaluated.details["run"] == version["run"]
    assert ledger.verify() == []


def test_changed_weights_are_refused(layout: Layout) -> None:
    (layout.train / "lora.safetensors").write_bytes(b"other")
    with pytest.raises(DiffersError, match=r"lora\.safetensors"):
        register.run("people", layout=layout)


def test_another_evaluation_of_the_same_weights_is_recorded(layout: Layout) -> None:
    register.run("people", layout=layout)
    (layout.evaluation / "summary.json").write_text(json.dumps({"gain": {"id_sim": 5.0}}))
    write_manifest(layout.evaluation, {})
    register.run("people", layout=layout)
    events = Ledger(Store.local(layout.out).ledger).events("people")
    assert [event.kind for event in events] == ["registered", "evaluated", "evaluated"]
    assert {event.version for event in events} == {1}


def test_the_environment_names_another_store(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Store.local(tmp_path / "other")
    monkeypatch.setenv(TRACKING, other.tracking)
    register.run("people", layout=layout)
    assert not (layout.out / "mlflow.db").exists()
    assert len(Ledger(other.ledger).events("people")) == 2


def test_a_server_without_a_ledger_is_refused(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TRACKING, "http://127.0.0.1:9")
    monkeypatch.delenv(LEDGER, raising=False)
    with pytest.raises(UsageError, match="UMO_LEDGER is not set"):
        register.run("people", layout=layout)
