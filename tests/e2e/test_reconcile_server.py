"""A server that answers with something else than the champion is found and put right."""

from pathlib import Path

import pytest

from services.candidates import PROMOTER
from services.deployments import NAME, answering, candidate, champion
from services.people import Person
from services.triton import empty_server
from umo.errors import ExitCode
from umo.ledger import Ledger
from umo.promotion import promote
from umo.registry import Registry
from umo.store import Store
from umo_serving import routes

pytestmark = pytest.mark.slow


def test_server_that_answers_with_another_version(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    registry = Registry(Store.local(run))
    ledger = Ledger(registry.store.ledger)
    person = Person({"UMO_ACTOR": PROMOTER}, capfd)
    with empty_server(tmp_path / "serving") as server:
        first = champion(registry, ledger, 1.0, tmp_path)

        def reconcile(*arguments: object) -> tuple[int, list[dict[str, object]]]:
            options = ("--run", run, "--serving", server.folder.path, "-o", "json")
            said = person.umo("models", "reconcile", NAME, *options, *arguments)
            return said.code, said.json["drifts"]

        code, (drift,) = reconcile("--dry-run")
        assert (code, drift["repaired"]) == (ExitCode.DIFFERS, False)
        assert f"weights {first}" in str(drift["ledger"])
        assert "no answer" in str(drift["found"])
        code, (drift,) = reconcile()
        assert (code, drift["repaired"]) == (0, True)
        assert answering(server) == first
        assert reconcile() == (0, [])

        second = promote(
            registry, ledger, NAME, candidate(registry, ledger, 0.98, tmp_path), actor=PROMOTER
        )
        assert second
        code, (drift,) = reconcile()
        assert (code, f"version 1, weights {first}" in str(drift["found"])) == (0, True)
        assert answering(server) == second.weights

        server.folder.stage(tmp_path / "lora-1.0", version="1", bases=["embedded"], pack="open")
        server.admin.load(routes.model_name("1"))
        other = routes.Target(version="1", digest=first)
        routes.write(server.folder.repository, routes.Routes(champion=other))
        code, (drift,) = reconcile()
        assert (code, drift["repaired"]) == (0, True)
        assert answering(server) == second.weights
        assert ledger.verify() == []
