"""Deployments to a real server: what answers afterwards, and what must not."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.candidates import PROMOTER, REVIEWER
from services.deployments import NAME, answering, candidate, champion, loaded
from services.triton import Triton, empty_server
from umo.errors import DeniedError, DiffersError, UmoError, UsageError
from umo.ledger import Ledger
from umo.promotion import promote, reject, rollback
from umo.registry import CHAMPION, Registry
from umo.store import Store
from umo_serving import routes
from umo_serving.deployer import Deployer, Policy


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    with empty_server(tmp_path_factory.mktemp("deployed")) as made:
        yield made


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return Registry(Store.local(tmp_path_factory.mktemp("registry")))


@pytest.fixture(scope="module")
def ledger(registry: Registry) -> Ledger:
    return Ledger(registry.store.ledger)


@pytest.fixture(scope="module")
def deployer(server: Triton, registry: Registry, ledger: Ledger) -> Deployer:
    policy = Policy(steps=8)
    return Deployer(server.folder, registry, ledger, NAME, policy=policy)


def await_end(server: Triton, model: str) -> None:
    """Wait until the process of a version that was unloaded is gone."""
    end = time.monotonic() + 120
    while any(model in " ".join(one.cmdline()) for one in server.processes().values()):
        assert time.monotonic() < end, f"{model} lives on"
        time.sleep(0.2)


def test_champions_are_served_as_they_come_and_go(
    server: Triton, registry: Registry, ledger: Ledger, deployer: Deployer, tmp_path: Path
) -> None:
    assert deployer.once() is None

    first = champion(registry, ledger, 1.0, tmp_path)
    served = deployer.once()
    assert served
    assert answering(server) == served.version.digest == first
    deployed = ledger.events(NAME, kind="deployed")
    assert [(event.weights, event.previous) for event in deployed] == [(first, "")]
    assert deployer.once() == served
    assert ledger.events(NAME, kind="deployed") == deployed

    second = champion(registry, ledger, 0.98, tmp_path)
    deployer.once()
    assert answering(server) == second
    assert loaded(server) == {"umo_v2"}
    await_end(server, "umo_v1")
    assert ledger.events(NAME, kind="deployed")[-1].previous == first

    rollback(registry, ledger, NAME, actor=PROMOTER, reason="hands")
    deployer.once()
    assert answering(server) == first
    assert loaded(server) == {"umo_v1"}
    assert [event.weights for event in ledger.events(NAME, kind="deployed")] == [
        first,
        second,
        first,
    ]


def test_a_version_that_knows_nobody_never_answers(
    server: Triton, registry: Registry, ledger: Ledger, deployer: Deployer, tmp_path: Path
) -> None:
    before = answering(server)
    champion(registry, ledger, 0.0, tmp_path)
    with pytest.raises(DeniedError, match=r"identity score of \d\.\d+, at least 0\.400"):
        deployer.once()
    assert answering(server) == before
    assert len(loaded(server)) == 1
    refused = ledger.events(NAME, kind="refused")[-1]
    assert "identity score" in refused.reason
    assert refused.details["action"] == "deploy"

    with pytest.raises(DeniedError, match=r"was refused: .*; go back with"):
        deployer.once()
    assert ledger.events(NAME, kind="refused")[-1] == refused

    rollback(registry, ledger, NAME, actor=PROMOTER, reason="refused by the server")
    deployer.once()
    assert answering(server) == before


def test_a_corrupt_download_waits_until_it_is_whole(
    server: Triton, registry: Registry, ledger: Ledger, deployer: Deployer, tmp_path: Path
) -> None:
    before = answering(server)
    weights = champion(registry, ledger, 0.97, tmp_path)
    version = registry.find(NAME, weights)
    assert version
    (stored,) = Path(version.uri.removeprefix("file://")).rglob("lora.safetensors")
    whole = stored.read_bytes()
    stored.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DiffersError, match=r"model/lora\.safetensors has sha256"):
        deployer.once()
    assert answering(server) == before
    assert not (server.folder.repository / f"umo_v{version.version}").exists()

    stored.write_bytes(whole)
    deployer.once()
    assert answering(server) == weights


def test_what_nobody_approved_is_not_deployed(
    server: Triton, registry: Registry, ledger: Ledger, deployer: Deployer, tmp_path: Path
) -> None:
    before = answering(server)
    champion(registry, ledger, 0.96, tmp_path)
    newest = max(version.version for version in registry.versions(NAME))
    reject(registry, ledger, NAME, ledger.champion(NAME).version, actor=REVIEWER, reason="oh no")
    with pytest.raises(DeniedError, match="is revoked"):
        deployer.once()
    assert answering(server) == before
    assert f"umo_v{newest}" not in loaded(server)

    rollback(registry, ledger, NAME, actor=PROMOTER, reason="revoked")
    registry.set_alias(NAME, CHAMPION, newest)
    with pytest.raises(UmoError, match="umo models reconcile"):
        deployer.once()
    assert answering(server) == before
    registry.set_alias(NAME, CHAMPION, registry.find(NAME, before).version)
    deployer.once()


def test_one_deployer_at_a_time(server: Triton, registry: Registry, ledger: Ledger) -> None:
    from fcntl import LOCK_EX, flock

    with (server.folder.path / "deployer.lock").open("a") as file:
        flock(file, LOCK_EX)
        other = Deployer(server.folder, registry, ledger, NAME)
        with pytest.raises(UsageError, match="another deployer is at work"):
            other.once()


def test_candidates_are_no_champions(
    server: Triton, registry: Registry, ledger: Ledger, deployer: Deployer, tmp_path: Path
) -> None:
    before = answering(server)
    number = candidate(registry, ledger, 0.95, tmp_path)
    deployer.once()
    assert answering(server) == before
    promote(registry, ledger, NAME, number, actor=PROMOTER)
    deployer.once()
    assert answering(server) != before
    assert routes.read(server.folder.repository).previous is None
