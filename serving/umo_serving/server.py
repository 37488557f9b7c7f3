"""A local server: start it, stop it, ask how it is."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from umo.errors import ExitCode, NotFoundError, UmoError, UsageError
from umo.files import read_manifest
from umo_serving import environment, probe, routes
from umo_serving.admin import Admin
from umo_serving.client.target import MODEL
from umo_serving.folder import Folder, Settings, Weights
from umo_serving.supervisor import EXIT_SECONDS

START_SECONDS = 900.0
LOCAL = "local"
"""Version of a model that is served from a folder, without a registry."""


def prepare(
    folder: Folder,
    settings: Settings,
    *,
    model: Path | None = None,
    base: str = "embedded",
    pack: str = "open",
    weights: Weights = "auto",
) -> None:
    """Make a folder ready to be served from.

    Args:
        folder: Of the server.
        settings: How it runs.
        model: A folder that `umo train` wrote, to serve without a registry; None serves what was
            deployed before.
        base: `embedded`, or the folder of the model's base.
        pack: Face pack, see `umo.faces.packs.load_pack`.
        weights: How the base's weights are kept.

    Raises:
        NotFoundError: There is no tritonserver, or no model or base.
        DiffersError: The model was tuned on another base.
        UsageError: A server runs there already, or a port is taken.
    """
    environment.find()
    if running := folder.running():
        raise UsageError(
            f"the server in {folder.path} runs already, as process {running}",
            hint="stop it with `umo serve down`",
        )
    for host, port in settings.ports:
        _check_free(host, port)
    folder.prepare(settings)
    if model:
        folder.stage(model, version=LOCAL, bases=[base], pack=pack, weights=weights)
        digest = read_manifest(model)["files"]["lora.safetensors"]
        target = routes.Target(version=LOCAL, digest=digest)
        routes.write(folder.repository, routes.Routes(champion=target))


def up(folder: Folder, *, report: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Start the server of a prepared folder in the background and wait until it paints.

    Args:
        folder: Of the server.
        report: Takes a line about each stage.

    Returns:
        See `status`.

    Raises:
        UmoError: It does not start.
    """
    report(f"starting tritonserver, log in {folder.log}")
    with folder.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "umo_serving.supervisor", str(folder.path)],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    _wait(folder, process, report)
    return status(folder)


def down(folder: Folder) -> bool:
    """Stop a server; calls under way get some seconds to end.

    Returns:
        Whether one ran.

    Raises:
        UmoError: It does not end.
    """
    running = folder.running()
    if not running:
        return False
    os.kill(running, signal.SIGTERM)
    end = time.monotonic() + 2 * EXIT_SECONDS + 20
    while folder.running():
        if time.monotonic() > end:
            raise UmoError(f"process {running} does not end", hint=f"see {folder.log}")
        time.sleep(0.1)
    return True


def status(folder: Folder) -> dict[str, Any]:
    """How a server is, by a real picture.

    Returns:
        `process`, `http`, `grpc`, `metrics`, `models` (state of each), `routes` (None before the
        first), `probe` (None if nothing is routed).

    Raises:
        NotFoundError: There is no server in the folder.
        UmoError: It does not run, or does not paint.
    """
    settings = folder.settings()
    running = folder.running()
    if not running:
        raise UmoError(
            f"the server in {folder.path} does not run", hint="start it with `umo serve up`"
        )
    try:
        routed = asdict(routes.read(folder.repository))
    except UmoError as error:
        if not error.retryable:
            raise
        routed = None
    sign = probe.ask(settings, MODEL) if routed else None
    return {
        "process": running,
        "http": settings.http,
        "grpc": settings.grpc,
        "metrics": f"{settings.host}:{settings.metrics_port}",
        "models": Admin(settings.admin, folder.admin_key()).states(),
        "routes": routed,
        "probe": asdict(sign) if sign else None,
    }


def last_lines(folder: Folder, count: int) -> list[str]:
    """The last lines of a server's log.

    Raises:
        NotFoundError: There is none.
    """
    if not folder.log.is_file():
        raise NotFoundError(f"no log in {folder.path}", hint="start a server with `umo serve up`")
    return folder.log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]


def follow(folder: Folder) -> Iterator[str]:
    """Lines of a server's log as they come, without end."""
    with folder.log.open(encoding="utf-8", errors="replace") as log:
        log.seek(0, os.SEEK_END)
        while True:
            if line := log.readline():
                yield line.rstrip("\n")
            else:
                time.sleep(0.2)


def _wait(
    folder: Folder,
    process: "subprocess.Popen[bytes]",
    report: Callable[[str], None],
) -> None:
    settings = folder.settings()
    triton, gate = Admin(settings.admin, key=""), Admin(settings.http, key="")
    routed = (folder.repository / routes.FILE).is_file()
    end = time.monotonic() + START_SECONDS
    report("loading the model" if routed else "nothing is deployed there yet")
    while not (triton.ready() and (gate.ready() or not routed)):
        if process.poll() is not None:
            raise UmoError(f"the server did not start: {_trouble(folder)}")
        if time.monotonic() > end:
            raise UmoError(
                f"the server did not start in {START_SECONDS:.0f} s",
                hint=f"see {folder.log}",
                exit_code=ExitCode.INTERRUPTED,
            )
        time.sleep(0.2)


def _trouble(folder: Folder) -> str:
    lines = last_lines(folder, 50)
    return next((line for line in reversed(lines) if "rror" in line), f"see {folder.log}")


def _check_free(host: str, port: int) -> None:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            raise UsageError(
                f"port {port} of {host} cannot be used: {error.strerror}",
                hint="name other ports, or stop what uses it",
            ) from error
