from pathlib import Path

import pytest

from services.candidates import PROMOTER, TRAINER, approved
from umo.errors import DiffersError
from umo.ledger import Ledger
from umo.promotion import promote, reconcile, verify
from umo.registry import CHALLENGER, CHAMPION, PREVIOUS, Registry
from umo.tracking import Run


@pytest.fixture
def name(registry: Registry, ledger: Ledger, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A model with a champion and one before it."""
    name = request.node.originalname.replace("_", "-")
    for seed in (1, 2):
        promote(
            registry,
            ledger,
            name,
            approved(registry, ledger, name, seed, tmp_path),
            actor=PROMOTER,
        )
    assert reconcile(registry, ledger, name, actor=PROMOTER) == []
    return name


def test_moved_aliases_go_back(registry: Registry, ledger: Ledger, name: str) -> None:
    registry.set_alias(name, CHAMPION, 1)
    registry.set_alias(name, CHALLENGER, 1)
    registry.drop_alias(name, PREVIOUS)
    expected = [
        (f"alias {CHALLENGER}", "none", "version 1", "remove it"),
        (f"alias {PREVIOUS}", "version 1", "none", "move it"),
        (f"alias {CHAMPION}", "version 2", "version 1", "move it"),
    ]
    for dry_run in (True, False):
        found = reconcile(registry, ledger, name, actor=PROMOTER, dry_run=dry_run)
        assert [(d.what, d.ledger, d.found, d.repair) for d in found] == expected
        assert {drift.repaired for drift in found} == {not dry_run}
    assert registry.aliases(name) == {CHAMPION: 2, PREVIOUS: 1}
    assert reconcile(registry, ledger, name, actor=PROMOTER) == []
    (event,) = ledger.events(name, kind="reconciled")
    assert (event.actor, event.version) == (PROMOTER, 2)
    assert [drift["what"] for drift in event.details["repaired"]] == [row[0] for row in expected]


def test_a_lost_copy_is_made_again(registry: Registry, ledger: Ledger, name: str) -> None:
    registry.client.delete_model_version(name, "2")
    found = reconcile(registry, ledger, name, actor=PROMOTER)
    assert [drift.what for drift in found] == ["copy of candidate 2", f"alias {CHAMPION}"]
    assert registry.aliases(name) == {CHAMPION: 3, PREVIOUS: 1}
    assert verify(registry, ledger, name) == []


def test_a_lost_copy_of_changed_weights_is_not_made_again(
    registry: Registry, ledger: Ledger, name: str
) -> None:
    registry.client.delete_model_version(name, "2")
    run = registry.candidate(name, 2).run
    Path(registry.address(run, "model/lora.safetensors")).write_bytes(b"other")
    with pytest.raises(DiffersError, match=r"model/lora\.safetensors has sha256"):
        reconcile(registry, ledger, name, actor=PROMOTER)
    assert len(registry.versions(name)) == 1


def test_a_version_that_nobody_promoted_is_reported(
    registry: Registry, ledger: Ledger, name: str, tmp_path: Path
) -> None:
    run = Run.open(registry.store, name="smuggled", identity=name)
    registry.client.create_model_version(name, source=run.artifact_uri, run_id=run.id)
    for _ in range(2):
        (drift,) = reconcile(registry, ledger, name, actor=TRAINER)
        assert (drift.what, drift.ledger) == (f"{name} 3", "never heard of it")
        assert not drift.repaired
