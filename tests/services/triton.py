"""A real tritonserver with the shipped reference model, on free ports, in a folder of its own."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

import umo
from services.processes import daemon, free_ports
from umo.errors import NotFoundError, UmoError
from umo.files import read_manifest
from umo_serving import environment, probe, routes
from umo_serving.admin import Admin
from umo_serving.client.target import MODEL
from umo_serving.folder import Folder, Settings
from umo_serving.server import LOCAL

REFERENCE = Path(umo.__file__).parent / "assets" / "reference"
SECONDS = 600.0


@dataclass(frozen=True)
class Triton:
    """A running server."""

    folder: Folder
    settings: Settings
    digest: str
    """sha256 of the weights that it serves."""

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
def triton(folder: Path, model: Path = REFERENCE) -> Iterator[Triton]:
    """Run a server inside the block; it has painted once."""
    try:
        environment.find()
    except NotFoundError:
        pytest.skip("no tritonserver here: run `umo serve setup`")
    place = Folder(folder)
    http, grpc, metrics, *inner = free_ports(6)
    settings = Settings(
        http_port=http, grpc_port=grpc, metrics_port=metrics, inner_ports=tuple(inner)
    )
    place.prepare(settings)
    place.stage(model, version=LOCAL, base="embedded", pack="open")
    digest = read_manifest(model)["files"]["lora.safetensors"]
    target = routes.Target(version=LOCAL, digest=digest)
    routes.write(place.repository, routes.Routes(champion=target))
    command = [sys.executable, "-m", "umo_serving.supervisor", str(folder)]
    served = Triton(place, settings, digest)
    with daemon(command, log=place.log, ready=lambda: _paints(settings), seconds=SECONDS):
        yield served


def _paints(settings: Settings) -> bool:
    try:
        probe.ask(settings, MODEL)
    except UmoError:
        return False
    return True
