"""Keep a tritonserver and its gate alive: start again what dies, load models whose process died.

Run as `python -m umo_serving.supervisor FOLDER`; SIGTERM ends it and its server.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from umo.errors import UmoError
from umo_serving import environment, probe
from umo_serving.admin import HEADER, RESTRICTED, Admin
from umo_serving.child import Child
from umo_serving.folder import ENDPOINTS, Folder
from umo_serving.launch import launch
from umo_serving.routes import read

EXIT_SECONDS = 20
"""What calls under way get to end when the server is told to end."""
PROBE_SECONDS = 15.0
"""Between two looks at every model."""
GATE_SECONDS = 2.0
"""Between two tries to start the gate."""
LONGEST_PAUSE = 60.0
"""Seconds between two tries to start a server that dies at once."""
LIVED = 120.0
"""A server that lived so many seconds is started again at once."""


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

    def run(self) -> None:
        """Run until SIGTERM."""
        signal.signal(signal.SIGTERM, lambda number, frame: self._stop.set())
        pause = 0.0
        while not self._stop.wait(pause):
            started = time.monotonic()
            self._open()
            self._start()
            self._watch()
            lived = time.monotonic() - started
            pause = 0.0 if lived > LIVED else min(max(2 * pause, 1.0), LONGEST_PAUSE)
        for child in (self._gate, self._server):
            if child:
                child.end(EXIT_SECONDS + 10)

    def command(self) -> list[str]:
        """Program and open arguments."""
        settings = self._settings
        found = environment.find(Path(settings.home) if settings.home else None)
        shared_memory = f"umo_{os.getpid()}_"
        return [
            str(found.server),
            f"--model-repository={self._folder.repository}",
            f"--backend-directory={found.backends}",
            f"--backend-config=python,shm-region-prefix-name={shared_memory}",
            "--model-control-mode=explicit",
            *(f"--load-model={name}" for name in (*self._versions(), *ENDPOINTS)),
            "--strict-readiness=false",
            "--exit-on-error=false",
            f"--exit-timeout-secs={EXIT_SECONDS}",
            "--disable-auto-complete-config",
            "--http-address=127.0.0.1",
            f"--http-port={settings.admin_port}",
            f"--grpc-address={settings.host}",
            f"--grpc-port={settings.grpc_port}",
            f"--metrics-address={settings.host}",
            f"--metrics-port={settings.metrics_port}",
        ]

    def _open(self) -> None:
        """Start the gate unless it runs; it answers while the server does not."""
        if not self._gate or (self._gate.gone() and self._gate.age > GATE_SECONDS):
            settings = self._settings
            command = [sys.executable, "-m", "umo_serving.gate", settings.http, settings.grpc]
            pid = launch(command, [], environment=os.environ, log=1)
            self._gate = Child("the gate", pid)
            say(f"the gate is process {pid}")

    def _start(self) -> None:
        key = self._folder.admin_key()
        hidden = [
            f"--http-restricted-api={RESTRICTED}:{HEADER}={key}",
            f"--grpc-restricted-protocol={RESTRICTED}:{HEADER}={key}",
        ]
        found = environment.find(Path(self._settings.home) if self._settings.home else None)
        pid = launch(self.command(), hidden, environment=found.variables(), log=1)
        self._server = Child("tritonserver", pid)
        say(f"tritonserver is process {pid}")

    def _watch(self) -> None:
        """Look after the server until it is gone or we are told to stop."""
        assert self._server
        looked = time.monotonic()
        while not self._stop.wait(0.2):
            if self._server.gone():
                say(f"tritonserver ended with status {self._server.status}")
                return
            self._open()
            if time.monotonic() - looked >= PROBE_SECONDS and self._admin.ready():
                self._heal()
                looked = time.monotonic()

    def _heal(self) -> None:
        """Load what cannot paint again: the versions, then, if all of those can, the endpoints."""
        healed = [self._healed(name) for name in self._versions()]
        if all(healed):
            for name in ENDPOINTS:
                self._healed(name)

    def _healed(self, name: str) -> bool:
        if self._stop.is_set():
            return False
        try:
            probe.ask(self._settings, name)
        except UmoError as error:
            say(f"{name} does not paint: {error}")
            try:
                self._admin.load(name)
            except UmoError as failure:
                say(f"{name} does not load: {failure}")
                return False
            say(f"{name} is loaded again")
        return True

    def _versions(self) -> list[str]:
        try:
            return [target.model for target in read(self._folder.repository).targets()]
        except UmoError:
            return []


def say(line: str) -> None:
    """Write a line to the server's log."""
    print(f"supervisor: {line}", flush=True)


def main() -> None:
    """Entry point."""
    folder = Folder(Path(sys.argv[1]))
    with folder.held():
        Supervisor(folder).run()


if __name__ == "__main__":
    main()
