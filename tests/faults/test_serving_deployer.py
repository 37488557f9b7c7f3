"""A deployer that is killed between every two steps, and a disk that is full."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from resource import RLIM_INFINITY, RLIMIT_FSIZE, prlimit

import pytest

from services.candidates import PROMOTER
from services.deployments import (
    NAME,
    answering,
    candidate,
    champion,
    deploy_until,
    full_disk,
    loaded,
)
from services.triton import Triton, empty_server
from umo.ledger import Event, Ledger
from umo.promotion import promote, rollback
from umo.registry import Registry
from umo.store import Store
from umo_serving import routes
from umo_serving.deployer import Deployer, Policy, steps

POINTS = [step.__name__ for step in steps.STEPS]
AFTER = POINTS.index("crown") + 1
"""From this point on the new version answers."""


@dataclass(frozen=True)
class Site:
    """A server, and two approved candidates that take turns as champion."""

    server: Triton
    registry: Registry
    ledger: Ledger
    first: int
    second: int

    @property
    def deployer(self) -> Deployer:
        return Deployer(
            self.server.folder, self.registry, self.ledger, NAME, policy=Policy(steps=8)
        )

    def change(self) -> tuple[str, Event]:
        """Make the other one the champion; the weights before, and the decision."""
        reign = self.ledger.reign(NAME)
        if reign.champion and reign.champion.version == self.second:
            event = rollback(self.registry, self.ledger, NAME, actor=PROMOTER, reason="in turn")
        else:
            event = promote(self.registry, self.ledger, NAME, self.second, actor=PROMOTER)
        assert event
        return reign.weights, event

    def deployed(self, decision: Event) -> list[Event]:
        """What the ledger says was deployed for a decision."""
        events = self.ledger.events(NAME, kind="deployed")
        return [event for event in events if event.details["decision"] == decision.seq]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    scratch = tmp_path_factory.mktemp("scratch")
    registry = Registry(Store.local(tmp_path_factory.mktemp("registry")))
    ledger = Ledger(registry.store.ledger)
    first, second = (candidate(registry, ledger, scale, scratch) for scale in (1.0, 0.98))
    promote(registry, ledger, NAME, first, actor=PROMOTER)
    with empty_server(tmp_path_factory.mktemp("serving")) as server:
        made = Site(server, registry, ledger, first, second)
        made.deployer.once()
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_whoever_comes_after_a_killed_deployer_finishes(
    site: Site, point: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before, decision = site.change()
    now = site.ledger.reign(NAME).weights
    deploy_until(site.registry.store, site.server.folder.path, point)
    killed = time.monotonic()
    assert answering(site.server) == (now if POINTS.index(point) >= AFTER else before)

    served = site.deployer.once()
    took = time.monotonic() - killed
    assert served
    assert answering(site.server) == served.version.digest == now
    assert loaded(site.server) == {served.target.model}
    assert len(site.deployed(decision)) == 1
    assert routes.read(site.server.folder.repository).targets() == [served.target]
    assert not list(site.server.folder.repository.glob(".*"))
    assert site.ledger.verify() == []
    with capsys.disabled():
        print(f"\nkilled before {point}: the next one was done after {took:.1f} s")


@pytest.mark.slow
def test_a_full_disk_changes_nothing_until_there_is_room(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = site.ledger.reign(NAME).weights
    repository = site.server.folder.repository
    with full_disk(site.registry.store, site.server.folder.path, 100_000) as (follower, said):
        now = champion(site.registry, site.ledger, 0.97, tmp_path)
        while "cannot" not in said.get(timeout=300):
            pass
        assert answering(site.server) == before
        assert not list(repository.glob(".*"))

        room = time.monotonic()
        prlimit(follower, RLIMIT_FSIZE, (RLIM_INFINITY, RLIM_INFINITY))
        while answering(site.server) != now:
            time.sleep(0.2)
        took = time.monotonic() - room
        while not site.deployed(site.ledger.reign(NAME).decided):
            time.sleep(0.2)
    rollback(site.registry, site.ledger, NAME, actor=PROMOTER, reason="as it was")
    site.deployer.once()
    with capsys.disabled():
        print(f"\nthe new version answered {took:.1f} s after there was room")
