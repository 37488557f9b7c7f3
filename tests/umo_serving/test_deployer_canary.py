"""Versions on trial: callers of a real server, and challengers that paint worse, late or not."""

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.candidates import PROMOTER
from services.deployments import NAME, PEOPLE, answering, champion, loaded
from services.triton import Triton, empty_server
from umo.errors import DeniedError, UmoError
from umo.ledger import Ledger
from umo.promotion import rollback
from umo.registry import Registry
from umo.store import Store
from umo_serving import folder as folders
from umo_serving import routes
from umo_serving.client import Client
from umo_serving.deployer import Deployer, Policy

PROMPT = "Two people in a park"
SHARES = (0.05, 0.5, 1.0)
CALLERS = 2
EARLY = routes.Routes(
    champion=routes.Target(version="old", digest=""),
    challenger=routes.Target(version="new", digest=""),
    share=SHARES[0],
)
FAULTY = """
from umo_serving.backend import tensors
from umo_serving.backend.painter import Painter
from umo_serving.request import PROBE


class TritonPythonModel(Painter):
    def _paint(self, name, incoming, sender):
        if not name.startswith(PROBE):
            {fault}
        super()._paint(name, incoming, sender)
"""
"""A version that a probe cannot tell from a good one."""
LATE = FAULTY.format(fault="[self._engine.generate(tensors.read(incoming)) for wasted in range(4)]")
BROKEN = FAULTY.format(fault="self._engine = None")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    with empty_server(tmp_path_factory.mktemp("trial")) as made:
        yield made


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return Registry(Store.local(tmp_path_factory.mktemp("registry")))


@pytest.fixture(scope="module")
def ledger(registry: Registry) -> Ledger:
    return Ledger(registry.store.ledger)


@pytest.fixture(scope="module")
def first(
    server: Triton,
    registry: Registry,
    ledger: Ledger,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """Weights of the champion that challengers are compared with."""
    weights = champion(registry, ledger, 1.0, tmp_path_factory.mktemp("first"))
    deployer(server, registry, ledger, Said()).once()
    return weights


class Said(list[str]):
    """What deployers said."""

    def __init__(self) -> None:
        super().__init__()
        self.trial = threading.Event()
        """Set once a version is on trial."""

    def add(self, line: str) -> None:
        self.append(line)
        if "of the calls" in line:
            self.trial.set()


def deployer(
    server: Triton, registry: Registry, ledger: Ledger, said: Said, **changes: float
) -> Deployer:
    policy = Policy(steps=8, shares=SHARES, seconds=0.0, **{"calls": 4, **changes})
    return Deployer(server.folder, registry, ledger, NAME, policy=policy, say=said.add)


def names(caller: int) -> Iterator[str]:
    """Request ids of one caller; every other one is of those 5 % that a new version gets first."""
    found = (f"{caller}-{time.monotonic_ns()}-{number}" for number in itertools.count())
    while True:
        yield next(name for name in found if EARLY.choose(name) == EARLY.challenger)
        yield next(name for name in found if EARLY.choose(name) == EARLY.champion)


@contextmanager
def callers(server: Triton, said: Said) -> Iterator[list[str | UmoError]]:
    """Ask inside the block, from the trial on; the weights of every answer, or its error."""
    enough = threading.Event()
    answers: list[str | UmoError] = []

    def call(caller: int) -> None:
        said.trial.wait()
        with Client(server.http, retries=0, timeout=600) as client:
            for name in names(caller):
                if enough.is_set():
                    return
                try:
                    made = client.generate(PROMPT, PEOPLE, steps=4, seed=1, request_id=name)
                    answers.append(made.model_digest)
                except UmoError as error:
                    answers.append(error)

    with ThreadPoolExecutor(CALLERS) as pool:
        under_way = [pool.submit(call, caller) for caller in range(CALLERS)]
        try:
            yield answers
        finally:
            enough.set()
            said.trial.set()
        for caller in under_way:
            caller.result()


def failures(answers: list[str | UmoError]) -> list[UmoError]:
    return [answer for answer in answers if isinstance(answer, UmoError)]


@pytest.mark.slow
def test_a_good_version_gets_more_and_more_of_the_calls(
    server: Triton, registry: Registry, ledger: Ledger, first: str, tmp_path: Path
) -> None:
    said = Said()
    second = champion(registry, ledger, 0.98, tmp_path)
    with callers(server, said) as answers:
        deployer(server, registry, ledger, said, slowdown=100.0, loss=2.0).once()
    assert failures(answers) == []
    assert set(answers) == {first, second}
    shares = [line for line in said if "of the calls" in line]
    assert shares == ["umo_v2 answers 5% of the calls", "umo_v2 answers 50% of the calls"]
    assert answering(server) == second
    assert loaded(server) == {"umo_v2"}

    rollback(registry, ledger, NAME, actor=PROMOTER, reason="nobody has to wait for it")
    deployer(server, registry, ledger, said).once()
    assert answering(server) == first


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scale", "model", "changes", "reason"),
    [
        (0.97, BROKEN, {}, r"\d+% of its calls failed, of the champion's 0%"),
        (0.96, LATE, {"loss": 2.0}, r"it took \d+\.\d\d s a call, the champion \d+\.\d\d s"),
        (0.0, "", {"score": -1.0, "slowdown": 100.0}, r"its identity score was .*, the champion's"),
    ],
    ids=["errors", "latency", "identity"],
)
def test_a_worse_version_is_stopped_while_few_have_seen_it(
    server: Triton,
    registry: Registry,
    ledger: Ledger,
    first: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scale: float,
    model: str,
    changes: dict[str, float],
    reason: str,
) -> None:
    if model:
        template = tmp_path / "template"
        (template / "1").mkdir(parents=True)
        (template / "config.pbtxt").write_bytes((folders.TEMPLATE / "config.pbtxt").read_bytes())
        (template / "1" / "model.py").write_text(model)
        monkeypatch.setattr(folders, "TEMPLATE", template)
    said = Said()
    worse = champion(registry, ledger, scale, tmp_path)
    with callers(server, said) as answers:
        with pytest.raises(DeniedError, match=f"was on trial: {reason}"):
            deployer(server, registry, ledger, said, **changes).once()
        stopped = len(answers)
        while len(answers) < stopped + CALLERS + 10:
            time.sleep(0.05)

    under_way = [answer for answer in answers[stopped:] if answer != first]
    assert len(under_way) <= CALLERS
    assert all("the server failed at request" in str(error) for error in failures(answers))
    assert bool(failures(answers)) == (model == BROKEN)
    assert not any("answers 50%" in line for line in said)
    assert routes.read(server.folder.repository).targets() == [
        routes.Target(version="1", digest=first)
    ]
    assert loaded(server) == {"umo_v1"}
    (refused,) = (one for one in ledger.events(NAME, kind="refused") if one.weights == worse)
    assert "was on trial" in refused.reason
    assert not [one for one in ledger.events(NAME, kind="deployed") if one.weights == worse]

    with pytest.raises(DeniedError, match=r"was refused: .*; go back with"):
        deployer(server, registry, ledger, said, **changes).once()
    rollback(registry, ledger, NAME, actor=PROMOTER, reason="refused by its trial")
    deployer(server, registry, ledger, said).once()
