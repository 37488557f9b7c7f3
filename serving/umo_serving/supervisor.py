"""Keep a tritonserver and its gate alive: start again what dies, load models whose process died.

Run as `python -m umo_serving.supervisor FOLDER`; SIGTERM ends it and its server.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from umo.errors import UmoError
from umo_serving import environment, probe
from umo_serving.admin import HEADER, RESTRICTED, Admin
from umo_serving.child import Child, adopt_orphans, kill_orphans
from umo_serving.folder import LOOPBACK, Folder
from umo_serving.launch import launch
from umo_serving.processes import alive
from umo_serving.routes import read
from umo_serving.trace import HEADERS

EXIT_SECONDS = 20
"""What calls under way get to end when the server is told to end."""
PROBE_SECONDS = 15.0
"""Between two looks at every model."""
LOOK_SECONDS = 1.0
"""Between two looks at the processes of the models."""
GATE_SECONDS = 2.0
"""Between two tries to start the gate."""
LONGEST_PAUSE = 60.0
"""Seconds between two tries to start a server that dies at once."""
NEVER = (PROBE_SECONDS, 0.0)
"""Pause before, and time of, the next try of a model that never failed."""
PROGRAM = "model.py"
INTERFACES = ("http", "grpc", "metrics")
"""What Triton listens on."""
LIVED = 120.0
"""A server that lived so many seconds is started again at once."""
SHARED_MEMORY = "umo_"
"""How the names of our regions of shared memory begin; the supervisor's process id follows."""


class Supervisor:
    """Runs the server of a folder until it is told to stop.

    Args:
        folder: Of the server.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._settings = folder.settings()
        self._admin = Admin(self._settings.admin, folder.admin_key())
        self._stop = threading.Event()
        self._gate: Child | None = None
        self._server: Child | None = None
        self._hopeless: dict[str, tuple[float, float]] = {}
        """Models that do not load: the pause before the next try, and when that is."""

    def run(self) -> None:
        """Run until SIGTERM."""
        signal.signal(signal.SIGTERM, lambda number, frame: self._stop.set())
        adopt_orphans()
        pause = 0.0
        while not self._stop.wait(pause):
            started = time.monotonic()
            kill_orphans(self._gate)
            sweep()
            self._open()
            self._start()
            self._watch()
            lived = time.monotonic() - started
            pause = 0.0 if lived > LIVED else min(max(2 * pause, 1.0), LONGEST_PAUSE)
        for child in (self._gate, self._server):
            if child:
                child.end(EXIT_SECONDS + 10)
        kill_orphans()
        sweep()

    def command(self) -> list[str]:
        """Program and open arguments."""
        settings = self._settings
        found = environment.find()
        return [
            str(found.server),
            f"--model-repository={self._folder.repository}",
            f"--backend-directory={found.backends}",
            f"--backend-config=python,shm-region-prefix-name={SHARED_MEMORY}{os.getpid()}_",
            "--model-control-mode=explicit",
            *(f"--load-model={name}" for name in self._versions()),
            "--strict-readiness=false",
            "--exit-on-error=false",
            f"--exit-timeout-secs={EXIT_SECONDS}",
            "--disable-auto-complete-config",
            f"--grpc-header-forward-pattern={'|'.join(HEADERS)}",
            *(f"--{interface}-address={LOOPBACK}" for interface in INTERFACES),
            *(
                f"--{interface}-port={port}"
                for interface, port in zip(INTERFACES, settings.inner_ports, strict=True)
            ),
        ]

    def _open(self) -> None:
        """Start the gate unless it runs; it answers while the server does not."""
        if not self._gate or (self._gate.gone() and self._gate.age > GATE_SECONDS):
            command = [sys.executable, "-m", "umo_serving.gate", str(self._folder.path)]
            pid = launch(command, [], environment=os.environ, log=1)
            self._gate = Child("the gate", pid)
            say(f"the gate is process {pid}")

    def _start(self) -> None:
        key = self._folder.admin_key()
        hidden = [
            f"--http-restricted-api={RESTRICTED}:{HEADER}={key}",
            f"--grpc-restricted-protocol={RESTRICTED}:{HEADER}={key}",
        ]
        pid = launch(self.command(), hidden, environment=environment.find().variables(), log=1)
        self._server = Child("tritonserver", pid)
        say(f"tritonserver is process {pid}")

    def _watch(self) -> None:
        """Look after the server until it is gone or we are told to stop."""
        assert self._server
        probed = looked = time.monotonic()
        models: set[str] = set()
        while not self._stop.wait(0.2):
            if self._server.gone():
                say(f"tritonserver ended with status {self._server.status}")
                return
            self._open()
            if time.monotonic() - looked < LOOK_SECONDS or not self._admin.ready():
                continue
            looked = time.monotonic()
            running = self._models()
            if models - running or looked - probed >= PROBE_SECONDS:
                self._heal()
                probed = time.monotonic()
            models = self._models()

    def _models(self) -> set[str]:
        """Models that have a living process."""
        assert self._server
        found = set()
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self._server.pid).children():
                with suppress(psutil.NoSuchProcess):
                    found.add(model_of(child.cmdline()))
        return found - {""}

    def _heal(self) -> None:
        """Load again what cannot paint."""
        for name in self._versions():
            if not self._stop.is_set() and time.monotonic() >= self._hopeless.get(name, NEVER)[1]:
                self._heal_version(name)

    def _heal_version(self, name: str) -> None:
        try:
            probe.ask(self._settings, name)
        except UmoError as error:
            if name not in self._versions():
                return
            say(f"{name} does not paint: {error}")
            try:
                # Triton loads a model that it calls loaded only where its program is newer.
                os.utime(self._folder.repository / name / "1" / PROGRAM)
                self._admin.load(name)
            except FileNotFoundError:  # A deployer has just removed it.
                return
            except UmoError as failure:
                say(f"{name} does not load: {failure}")
                pause = min(2 * self._hopeless.get(name, NEVER)[0], LONGEST_PAUSE)
                self._hopeless[name] = (pause, time.monotonic() + pause)
                return
            say(f"{name} is loaded again")
        self._hopeless.pop(name, None)

    def _versions(self) -> list[str]:
        try:
            return [target.model for target in read(self._folder.repository).targets()]
        except UmoError:
            return []


def model_of(command: Sequence[str]) -> str:
    """The model whose process runs a command; nothing for one that has not become a model yet.

    Triton starts `bash -c "exec STUB REPOSITORY/MODEL/1/model.py ..."`.
    """
    program = Path(command[1]) if len(command) > 1 else Path()
    return program.parts[-3] if program.name == PROGRAM and len(program.parts) > 3 else ""


def sweep() -> None:
    """Remove the shared memory that dead servers left; what a living supervisor holds stays."""
    for region in Path("/dev/shm").glob(f"{SHARED_MEMORY}*_*"):
        owner = region.name.removeprefix(SHARED_MEMORY).partition("_")[0]
        if owner.isdecimal() and (int(owner) == os.getpid() or not alive(int(owner))):
            region.unlink(missing_ok=True)


def say(line: str) -> None:
    """Write a line to the server's log."""
    print(f"supervisor: {line}", flush=True)


def run(folder: Folder) -> None:
    """Run the server of a folder until SIGTERM.

    Raises:
        UsageError: Somebody else runs it.
    """
    with folder.held():
        Supervisor(folder).run()


if __name__ == "__main__":
    run(Folder(Path(sys.argv[1])))
