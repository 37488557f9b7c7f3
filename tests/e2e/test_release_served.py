"""The promotion pipeline ends when a real server answers with the new champion."""

from pathlib import Path

import pytest

from services.candidates import PROMOTER
from services.deployments import NAME, answering, candidate, follower
from services.triton import empty_server
from umo.ledger import Ledger
from umo.registry import Registry
from umo.review.policy import load_policy
from umo.store import Store
from umo_pipelines.submit import promote_local
from umo_serving.deployer import Deployer, Policy

pytestmark = pytest.mark.slow


def test_release_ends_when_it_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UMO_ACTOR", PROMOTER)
    out = tmp_path / "run"
    out.mkdir()
    store = Store.local(out)
    registry, ledger = Registry(store), Ledger(store.ledger)
    number = candidate(registry, ledger, 1.0, tmp_path)
    with empty_server(tmp_path / "serving") as server:
        deployer = Deployer(server.folder, registry, ledger, NAME, policy=Policy(steps=8))
        with follower(deployer):
            promote_local(NAME, number, out, policy=load_policy(None), minutes=15.0)
        served = ledger.events(NAME, kind="deployed")
        assert [event.version for event in served] == [number]
        assert answering(server) == ledger.reign(NAME).weights
