"""`umo serve` from nothing to a picture of the promoted model, with a real server."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from services.candidates import PROMOTER
from services.deployments import NAME, PEOPLE, candidate
from services.processes import free_ports
from umo.errors import ExitCode, NotFoundError
from umo.ledger import Ledger
from umo.promotion import promote
from umo.registry import Registry
from umo.store import Store
from umo_serving import environment
from umo_serving.client import Client

UMO = Path(sys.executable).with_name("umo")
EVERY = 15.0
"""Most seconds between two looks of the deployer, as by default."""


class Machine:
    """Somebody at the command line, in a folder with a run and a server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run, self.serving = folder / "run", folder / "serving"
        self.variables = {"UMO_ACTOR": "carl"}

    def umo(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [UMO, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={**os.environ, **self.variables},
            check=False,
        )

    def serve(self, command: str, *arguments: object) -> str:
        """What a command says that works."""
        done = self.umo("serve", command, *arguments, "--folder", self.serving)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, command: str, *arguments: object) -> Mapping[str, Any]:
        found: Mapping[str, Any] = json.loads(self.serve(command, *arguments, "-o", "json"))
        return found

    @contextmanager
    def following(self) -> Iterator[Path]:
        """`umo serve deploy --follow` inside the block; what it says."""
        log = self.folder / "deployer.log"
        options = ["--run", self.run, "--folder", self.serving, "--follow", "--every", EVERY]
        with log.open("wb") as stream:
            deployer = subprocess.Popen(
                [UMO, "serve", "deploy", NAME, *map(str, options)],
                stdout=stream,
                stderr=stream,
                env={**os.environ, **self.variables},
            )
        try:
            yield log
        finally:
            deployer.send_signal(signal.SIGTERM)
            code = deployer.wait()
        assert code == ExitCode.INTERRUPTED


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    try:
        environment.find()
    except NotFoundError as error:
        pytest.skip(str(error))
    made = Machine(tmp_path)
    try:
        yield made
    finally:
        made.umo("serve", "down", "--folder", made.serving)


@pytest.mark.slow
def test_what_is_promoted_is_what_a_caller_gets(
    machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = Registry(Store.local(machine.run))
    ledger = Ledger(registry.store.ledger)
    first, second = (candidate(registry, ledger, scale, tmp_path) for scale in (1.0, 0.98))
    promote(registry, ledger, NAME, first, actor=PROMOTER)

    http, grpc, metrics = free_ports(3)
    ports = ["--http-port", http, "--grpc-port", grpc, "--metrics-port", metrics]
    said = machine.serve("up", *ports, "--inner-port", random.randrange(10_000, 30_000, 3))
    assert "nothing is deployed yet" in said
    assert f"127.0.0.1:{http}" in said
    refused = machine.umo("serve", "generate", "A beach", "--server", f"127.0.0.1:{http}")
    assert refused.returncode == ExitCode.INTERRUPTED

    said = machine.serve("deploy", NAME, "--run", machine.run)
    old = ledger.reign(NAME).weights
    assert old in said

    with machine.following() as log, Client(f"127.0.0.1:{http}") as client:
        start = time.monotonic()
        promote(registry, ledger, NAME, second, actor=PROMOTER)
        new = ledger.reign(NAME).weights
        while client.generate("A person", PEOPLE[:1], seed=0, steps=1).model_digest != new:
            time.sleep(0.1)
        served = time.monotonic() - start
        while "answers\n" not in log.read_text():
            time.sleep(0.1)
    version = registry.find(NAME, new)
    assert version

    picture = tmp_path / "picture.png"
    references = [part for person in PEOPLE for part in ("--reference", person)]
    shown = machine.umo(
        *["serve", "generate", "Two people in a park", "--server", f"127.0.0.1:{grpc}"],
        *["--protocol", "grpc", "--seed", 7, "--matches", "--out", picture, *references],
    )
    assert shown.returncode == 0, shown.stderr
    assert new in shown.stdout
    with Image.open(picture) as painted:
        assert painted.info["model_digest"] == version.digest == new
        assert painted.info["model_version"] == str(version.version)
        assert painted.info["seed"] == "7"

    state = machine.json("status")
    assert state["probe"]["digest"] == new
    assert state["models"][f"umo_v{version.version}"] == "READY"
    calls = [line for line in machine.serve("logs").splitlines() if line.startswith("{")]
    assert json.loads(calls[-1])["endpoint"] == "umo_stream"
    assert machine.json("down") == {"stopped": True}
    assert machine.json("down") == {"stopped": False}
    gone = machine.umo("serve", "status", "--folder", machine.serving)
    assert gone.returncode == ExitCode.FAILED
    assert "start it with `umo serve up`" in gone.stderr
    with capsys.disabled():
        print(f"\nserved {served:.1f} s after the promotion, looked for every {EVERY} s")
        print(log.read_text(), shown.stdout, sep="\n")
