"""Callers who never stop, while versions come and go under them."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from services.candidates import PROMOTER
from services.deployments import NAME, PEOPLE, candidate, follower
from services.triton import Triton, empty_server
from umo.ledger import Ledger
from umo.promotion import promote, rollback
from umo.registry import Registry
from umo.store import Store
from umo_serving.client import Client
from umo_serving.client.target import Protocol
from umo_serving.deployer import Deployer, Policy

REQUESTS = 500
CALLERS = 4


class Answer(NamedTuple):
    """What a caller got."""

    asked: float
    """When the call was made."""
    came: float
    """When the answer was there."""
    weights: tuple[str, str]
    """Version and digest that made it."""


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
    first, second, _ = (candidate(registry, ledger, scale, tmp_path) for scale in (1.0, 0.98, 0.5))
    promote(registry, ledger, NAME, first, actor=PROMOTER)
    deployer = Deployer(server.folder, registry, ledger, NAME, policy=Policy(steps=8))
    deployer.once()
    enough = threading.Event()
    answers: list[Answer] = []

    def call(caller: int) -> None:
        protocol: Protocol = "http" if caller % 2 else "grpc"
        where = server.http if caller % 2 else server.grpc
        with Client(where, protocol=protocol, retries=0) as client:
            while not enough.is_set() or len(answers) < REQUESTS:
                asked = time.monotonic()
                made = client.generate("A person", PEOPLE[:1], seed=caller, steps=1)
                weights = (made.model_version, made.model_digest)
                answers.append(Answer(asked, time.monotonic(), weights))

    def served(weights: str) -> float:
        """When a caller first got the weights, of those who asked from now on."""
        start = time.monotonic()
        while True:
            for answer in list(answers):
                if answer.asked > start and answer.weights[1] == weights:
                    return answer.came
            time.sleep(0.05)

    with follower(deployer, 0.5), ThreadPoolExecutor(CALLERS) as pool:
        callers = [pool.submit(call, caller) for caller in range(CALLERS)]
        try:
            before = time.monotonic()
            promote(registry, ledger, NAME, second, actor=PROMOTER)
            promoted = served(ledger.reign(NAME).weights)
            back = time.monotonic()
            rollback(registry, ledger, NAME, actor=PROMOTER, reason="back")
            returned = served(ledger.reign(NAME).weights)
        finally:
            enough.set()
        for caller in callers:
            caller.result()

    one, two = sorted((str(one.version), one.digest) for one in registry.versions(NAME))
    assert len(answers) >= REQUESTS
    assert {answer.weights for answer in answers} == {one, two}
    assert {answer.weights for answer in answers if answer.came < before} <= {one}
    assert {answer.weights for answer in answers if answer.asked > returned} <= {one}
    deployed = [event.version for event in ledger.events(NAME, kind="deployed")]
    assert deployed == [first, second, first]
    with capsys.disabled():
        print(
            f"\n{len(answers)} calls, 0 failed, of version 2 "
            f"{sum(answer.weights == two for answer in answers)}; the promoted version answered "
            f"after {promoted - before:.1f} s, the one before again after {returned - back:.1f} s"
        )
