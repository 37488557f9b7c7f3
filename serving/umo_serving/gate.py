"""The door of a server for HTTP: only well-formed calls of the two endpoints reach Triton.

Triton's own HTTP endpoint reserves the memory that a request's shapes ask for before it looks at
them, dies when they are large, and calls a request that is no JSON an error of its own. Here a
call is read, checked, written anew and passed on; health is passed on; nothing else is. What needs
Triton's admin key is not reachable through this door. gRPC needs none: there Triton checks first.

Run as `python -m umo_serving.gate HOST:PORT HOST:PORT`: where to listen, where Triton's HTTP is.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from aiohttp import web
from tritonclient.grpc import service_pb2, service_pb2_grpc

from umo.errors import UmoError
from umo_serving import envelope
from umo_serving.client.failures import from_grpc
from umo_serving.client.target import CHANNEL_OPTIONS, MODEL, NOT_THERE
from umo_serving.client.wire import HEADER_LENGTH
from umo_serving.failures import UNAVAILABLE, describe, kind_of, unavailable
from umo_serving.limits import REFERENCE_BYTES, REFERENCES

BODY_BYTES = REFERENCES * REFERENCE_BYTES * 4 // 3 + 2**20
"""Largest body: all references as base64, and something around them."""
HELD_BYTES = 8 * BODY_BYTES
"""Most bytes of bodies at a time; more are told to try again."""
SECONDS = 900.0
"""Longest that a call may take."""
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
EXIT_SECONDS = 20.0
"""What calls under way get to end when the door is told to close."""
TRACE = ("traceparent", "tracestate")
"""Headers that are passed on."""


class Gate:
    """Answers HTTP for a Triton server.

    Args:
        server: `host:port` of its gRPC.
    """

    def __init__(self, server: str) -> None:
        self._address = server
        self._held = 0

    def application(self) -> web.Application:
        """The web application, for one event loop."""
        made = web.Application(client_max_size=BODY_BYTES, middlewares=[_errors])
        made.cleanup_ctx.append(self._connect)
        made.router.add_get("/v2/health/live", self._health)
        made.router.add_get("/v2/health/ready", self._health)
        made.router.add_get("/v2", self._server)
        made.router.add_get(f"/v2/models/{MODEL}", self._model)
        made.router.add_get(f"/v2/models/{MODEL}/ready", self._health)
        made.router.add_post(f"/v2/models/{MODEL}/infer", self._infer)
        return made

    async def _connect(self, application: web.Application) -> AsyncIterator[None]:
        async with grpc.aio.insecure_channel(self._address, CHANNEL_OPTIONS) as channel:
            self._stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            yield

    async def _infer(self, request: web.Request) -> web.Response:
        size = request.content_length or BODY_BYTES
        if self._held + size > HELD_BYTES:
            raise unavailable(f"{self._held} bytes of other calls are in hand")
        self._held += size
        try:
            body = await request.read()
            call = await asyncio.to_thread(
                envelope.read, MODEL, body, request.headers.get(HEADER_LENGTH)
            )
            answer = await self._stub.ModelInfer(
                call.infer.grpc(), timeout=SECONDS, metadata=_trace(request)
            )
        finally:
            self._held -= size
        content, headers = envelope.write(answer, call)
        return web.Response(body=content, headers=headers)

    async def _health(self, request: web.Request) -> web.Response:
        if request.path.endswith("live"):
            good = (await self._stub.ServerLive(service_pb2.ServerLiveRequest())).live
        elif request.path.startswith("/v2/models"):
            good = (await self._stub.ModelReady(service_pb2.ModelReadyRequest(name=MODEL))).ready
        else:
            good = (await self._stub.ServerReady(service_pb2.ServerReadyRequest())).ready
        return web.Response(status=200 if good else 503)

    async def _server(self, request: web.Request) -> web.Response:
        facts = await self._stub.ServerMetadata(service_pb2.ServerMetadataRequest())
        return web.json_response(
            {"name": facts.name, "version": facts.version, "extensions": ["binary_tensor_data"]}
        )

    async def _model(self, request: web.Request) -> web.Response:
        facts = await self._stub.ModelMetadata(service_pb2.ModelMetadataRequest(name=MODEL))
        return web.json_response(
            {
                "name": facts.name,
                "versions": list(facts.versions),
                "platform": facts.platform,
                "inputs": [_tensor(tensor) for tensor in facts.inputs],
                "outputs": [_tensor(tensor) for tensor in facts.outputs],
            }
        )


@web.middleware
async def _errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turn whatever goes wrong into a status and one line."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        kind = "not-found" if error.status == 404 else "usage"
        return _refusal(error.status, f"{kind}: {error.reason}: {request.method} {request.path}")
    except grpc.RpcError as error:
        failure = _failure(error.code().name, error.details() or "")
    except UmoError as error:
        failure = error
    kind = kind_of(failure)
    return _refusal(STATUSES[kind], describe(failure, ""))


def _failure(code: str, details: str) -> UmoError:
    if code == "UNAVAILABLE" and details.startswith(NOT_THERE):
        return unavailable("the server is being started")
    return from_grpc(code, details)


def _refusal(status: int, line: str) -> web.Response:
    headers = {"retry-after": "1"} if status == STATUSES[UNAVAILABLE] else {}
    return web.json_response({"error": line}, status=status, headers=headers)


def _tensor(facts: Any) -> dict[str, object]:
    return {"name": facts.name, "datatype": facts.datatype, "shape": list(facts.shape)}


def _trace(request: web.Request) -> list[tuple[str, str]]:
    return [(name, request.headers[name]) for name in TRACE if name in request.headers]


def main() -> None:
    """Entry point."""
    listen, server = sys.argv[1:]
    host, _, port = listen.rpartition(":")
    web.run_app(
        Gate(server).application(),
        host=host,
        port=int(port),
        print=None,
        access_log=None,
        shutdown_timeout=EXIT_SECONDS,
        handler_cancellation=True,
    )


if __name__ == "__main__":
    main()
