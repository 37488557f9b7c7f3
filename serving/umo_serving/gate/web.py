"""Public HTTP: KServe v2 for the endpoint that answers once, health, and the metrics."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import replace

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from umo.errors import UmoError
from umo_serving.client.target import MODEL
from umo_serving.client.wire import HEADER_LENGTH, INPUTS, Datatype
from umo_serving.failures import UNAVAILABLE, describe, kind_of, unavailable
from umo_serving.gate import envelope, outputs
from umo_serving.gate.inputs import LIST
from umo_serving.gate.router import Router
from umo_serving.journal import log
from umo_serving.limits import REFERENCE_BYTES, REFERENCES
from umo_serving.trace import HEADERS

BODY_BYTES = REFERENCES * REFERENCE_BYTES * 4 // 3 + 2**20
"""Largest body: all references as base64, and something around them."""
HELD_BYTES = 8 * BODY_BYTES
"""Most bytes of bodies at a time; more are told to try again."""
SCRAPE_SECONDS = 5.0
STATUSES = {
    "usage": 400,
    "denied": 403,
    "not-found": 404,
    "differs": 409,
    "cancelled": 499,
    "failed": 500,
    UNAVAILABLE: 503,
}
"""HTTP status of each kind of error."""
LISTS = (LIST, "PICTURES", "SEED")
"""Tensors with any number of values."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def calls(router: Router) -> web.Application:
    """The application for callers."""
    door = _Door(router)
    made = web.Application(client_max_size=BODY_BYTES, middlewares=[_errors])
    made.router.add_get("/v2", door.about)
    made.router.add_get("/v2/health/live", door.live)
    made.router.add_get("/v2/health/ready", door.ready)
    made.router.add_get(f"/v2/models/{MODEL}", door.model)
    made.router.add_get(f"/v2/models/{MODEL}/ready", door.ready)
    made.router.add_post(f"/v2/models/{MODEL}/infer", door.infer)
    return made


def metrics(registry: CollectorRegistry, triton: str) -> web.Application:
    """The application for Prometheus: our metrics, then Triton's.

    Args:
        registry: Ours.
        triton: Address of Triton's, `host:port`.
    """

    async def scrape(request: web.Request) -> web.Response:
        own = generate_latest(registry).decode()
        timeout = aiohttp.ClientTimeout(total=SCRAPE_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"http://{triton}/metrics") as answer,
            ):
                theirs = await answer.text() if answer.ok else ""
        except (aiohttp.ClientError, TimeoutError):
            theirs = ""
        return web.Response(text=own + theirs)

    made = web.Application()
    made.router.add_get("/metrics", scrape)
    return made


class _Door:
    def __init__(self, router: Router) -> None:
        self._router = router
        self._held = 0

    async def infer(self, request: web.Request) -> web.Response:
        size = request.content_length or BODY_BYTES
        if self._held + size > HELD_BYTES:
            raise unavailable(f"{self._held} bytes of other calls are in hand")
        self._held += size
        try:
            body = await request.read()
            length = request.headers.get(HEADER_LENGTH)
            call = await asyncio.to_thread(envelope.read, MODEL, body, length)
            trace = {name: request.headers[name] for name in HEADERS if name in request.headers}
            reply = await self._router.once(replace(call.infer, trace=trace))
        finally:
            self._held -= size
        content, headers = envelope.write(outputs.tensors(reply), call)
        return web.Response(body=content, headers=headers)

    async def live(self, request: web.Request) -> web.Response:
        return web.Response()

    async def ready(self, request: web.Request) -> web.Response:
        return web.Response(status=200 if await self._router.ready() else 503)

    async def about(self, request: web.Request) -> web.Response:
        return web.json_response({"name": "umo", "extensions": ["binary_tensor_data"]})

    async def model(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "name": MODEL,
                "versions": ["1"],
                "platform": "python",
                "inputs": _described(INPUTS),
                "outputs": _described(outputs.OUTPUTS),
            }
        )


def _described(tensors: dict[str, Datatype]) -> list[dict[str, object]]:
    return [
        {"name": name, "datatype": datatype, "shape": [-1 if name in LISTS else 1]}
        for name, datatype in tensors.items()
    ]


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever goes wrong into a status and one line."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        kind = "not-found" if error.status == 404 else "usage"
        return _refusal(error.status, f"{kind}: {error.reason}: {request.method} {request.path}")
    except Exception as error:
        if not isinstance(error, UmoError):
            log("failed", path=request.path, error=traceback.format_exc())
        return _refusal(STATUSES[kind_of(error)], describe(error, ""))


def _refusal(status: int, line: str) -> web.Response:
    headers = {"retry-after": "1"} if status == STATUSES[UNAVAILABLE] else {}
    return web.json_response({"error": line}, status=status, headers=headers)
