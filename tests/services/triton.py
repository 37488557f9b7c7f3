"""A real tritonserver with the shipped reference model, on free ports, in a folder of its own."""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

import umo
from services.processes import daemon, free_ports
from umo.errors import NotFoundError, UmoError
from umo_serving import environment, probe, routes, server
from umo_serving.admin import Admin
from umo_serving.client.target import MODEL
from umo_serving.folder import Folder, Settings

REFERENCE = Path(umo.__file__).parent / "assets" / "reference"
SECONDS = 600.0


@dataclass(frozen=True)
class Triton:
    """A running server."""

    folder: Folder
    settings: Settings

    @property
    def digest(self) -> str:
        """sha256 of the weights that it serves."""
        return routes.read(self.folder.repository).champion.digest

    @property
    def http(self) -> str:
        return self.settings.http

    @property
    def grpc(self) -> str:
        return self.settings.grpc

    @property
    def admin(self) -> Admin:
        return Admin(self.settings.admin, self.folder.admin_key())

    def processes(self) -> dict[int, psutil.Process]:
        """The server, its gate and the processes of its models, by process id."""
        running = self.folder.running()
        assert running
        found = psutil.Process(running).children(recursive=True)
        return {one.pid: one for one in found if one.status() != psutil.STATUS_ZOMBIE}

    def metric(self, name: str, **labels: str) -> float:
        """Sum of a metric over all series that have the labels."""
        url = f"http://{self.settings.host}:{self.settings.metrics_port}/metrics"
        with urlopen(url, timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        wanted = {f'{key}="{value}"' for key, value in labels.items()}
        series = (re.match(rf"{name}\{{(.*)\}} (\S+)$", line) for line in lines)
        return sum(float(one[2]) for one in series if one and wanted <= set(one[1].split(",")))


@contextmanager
def triton(
    folder: Path, model: Path = REFERENCE, env: Mapping[str, str] | None = None
) -> Iterator[Triton]:
    """Run a server inside the block; it has painted once."""
    with _running(folder, model, _paints, env) as served:
        yield served


@contextmanager
def empty_server(folder: Path) -> Iterator[Triton]:
    """Run a server inside the block that has no version of a model yet."""
    with _running(folder, None, lambda served: served.admin.ready()) as served:
        yield served


@contextmanager
def _running(
    folder: Path,
    model: Path | None,
    ready: Callable[[Triton], bool],
    env: Mapping[str, str] | None = None,
) -> Iterator[Triton]:
    try:
        environment.find()
    except NotFoundError as error:
        pytest.skip(str(error))
    http, grpc, metrics, *inner = free_ports(6)
    settings = Settings(
        http_port=http, grpc_port=grpc, metrics_port=metrics, inner_ports=tuple(inner)
    )
    served = Triton(Folder(folder), settings)
    server.prepare(served.folder, settings, model=model)
    command = [sys.executable, "-m", "umo_serving.supervisor", str(folder)]
    log = served.folder.log
    with daemon(command, log=log, ready=lambda: ready(served), env=env, seconds=SECONDS):
        yield served


def _paints(served: Triton) -> bool:
    try:
        probe.ask(served.settings, MODEL)
    except UmoError:
        return False
    return True
