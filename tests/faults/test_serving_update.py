"""Callers who never stop, while versions come and go under them."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.candidates import PROMOTER
from services.deployments import NAME, PEOPLE, candidate, empty_server
from services.triton import Triton
from umo.ledger import Ledger
from umo.promotion import promote, rollback
from umo.registry import Registry
from umo.store import Store
from umo_serving.client import Client
from umo_serving.client.target import Protocol
from umo_serving.deployer import Deployer, Policy

REQUESTS = 500
CALLERS = 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    with empty_server(tmp_path_factory.mktemp("serving")) as made:
        yield made


@pytest.mark.slow
def test_nobody_notices_a_promotion_and_a_roll_back(
    server: Triton, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = Registry(Store.local(tmp_path))
    ledger = Ledger(registry.store.ledger)
    first, second, never = (
        candidate(registry, ledger, scale, tmp_path) for scale in (1.0, 0.98, 0.5)
    )
    promote(registry, ledger, NAME, first, actor=PROMOTER)
    deployer = Deployer(server.folder, registry, ledger, NAME, policy=Policy(steps=8))
    deployer.once()
    follower = threading.Thread(target=deployer.follow, args=(0.5,))
    follower.start()
    enough = threading.Event()
    answers: list[tuple[str, str]] = []

    def call(caller: int) -> None:
        protocol: Protocol = "http" if caller % 2 else "grpc"
        where = server.http if caller % 2 else server.grpc
        with Client(where, protocol=protocol, retries=0) as client:
            while not enough.is_set() or len(answers) < REQUESTS:
                made = client.generate("A person", PEOPLE[:1], seed=caller, steps=1)
                answers.append((made.model_version, made.model_digest))

    def served(weights: str) -> None:
        while not answers or answers[-1][1] != weights:
            time.sleep(0.1)

    try:
        with ThreadPoolExecutor(CALLERS) as pool:
            callers = [pool.submit(call, caller) for caller in range(CALLERS)]
            start = time.monotonic()
            promote(registry, ledger, NAME, second, actor=PROMOTER)
            served(ledger.reign(NAME).weights)
            promoted = time.monotonic() - start
            rollback(registry, ledger, NAME, actor=PROMOTER, reason="back")
            served(ledger.reign(NAME).weights)
            enough.set()
            for caller in callers:
                caller.result()
    finally:
        enough.set()
        deployer.stop()
        follower.join()

    counted = Counter(answers)
    names = {(str(version.version), version.digest) for version in registry.versions(NAME)}
    assert set(counted) == names
    assert len(names) == 2
    assert sum(counted.values()) >= REQUESTS
    assert never not in {event.version for event in ledger.events(NAME, kind="deployed")}
    assert len(ledger.events(NAME, kind="deployed")) == 3
    with capsys.disabled():
        print(f"\n{len(answers)} calls, 0 failed; served {promoted:.1f} s after the promotion")
