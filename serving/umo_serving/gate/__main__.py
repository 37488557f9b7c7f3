"""Run the gate of a server: `python -m umo_serving.gate FOLDER`; SIGTERM or Ctrl-C ends it."""

import asyncio
import logging
import signal
import sys
from pathlib import Path

from aiohttp import web

from umo_serving.folder import Folder
from umo_serving.gate import rpc
from umo_serving.gate.metrics import Metrics
from umo_serving.gate.router import Router
from umo_serving.gate.web import calls, metrics
from umo_serving.trace import exported

SILENT = logging.Logger("silent", logging.CRITICAL + 1)
"""aiohttp would write what it cannot read into the log, pictures and prompts too."""
EXIT_SECONDS = 20.0
"""What calls under way get to end when the gate is told to close."""


async def run(folder: Folder) -> None:
    """Answer callers until SIGTERM."""
    settings = folder.settings()
    counted = Metrics()
    router = Router(folder.repository, settings.inner_grpc, counted)
    door = rpc.server(router)
    if not door.add_insecure_port(settings.grpc):
        raise OSError(f"{settings.grpc} is taken")
    runners = []
    for application, port in (
        (calls(router), settings.http_port),
        (metrics(counted.registry, settings.inner_metrics), settings.metrics_port),
    ):
        runner = web.AppRunner(
            application,
            access_log=None,
            logger=SILENT,
            handler_cancellation=True,
            shutdown_timeout=EXIT_SECONDS,
        )
        await runner.setup()
        await web.TCPSite(runner, settings.host, port).start()
        runners.append(runner)
    await door.start()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
    await asyncio.gather(door.stop(EXIT_SECONDS), *(runner.cleanup() for runner in runners))
    await router.close()


if __name__ == "__main__":
    with exported("umo-gate"):
        asyncio.run(run(Folder(Path(sys.argv[1]))))
