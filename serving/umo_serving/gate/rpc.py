"""Public gRPC: KServe v2 for both endpoints, and health."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, NoReturn

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from umo.errors import NotFoundError, UmoError
from umo_serving.client.target import MODEL, STREAM
from umo_serving.client.wire import INPUTS, Datatype, Infer
from umo_serving.failures import UNAVAILABLE, describe, kind_of
from umo_serving.gate import messages, outputs
from umo_serving.gate.outputs import Step
from umo_serving.gate.router import Router
from umo_serving.gate.web import BODY_BYTES, LISTS
from umo_serving.request import Reply
from umo_serving.trace import HEADERS

CALLS = 128
"""Most calls on the line; more are refused before they are read."""
OPTIONS = (
    ("grpc.max_receive_message_length", BODY_BYTES),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
)
CODES = {
    "usage": grpc.StatusCode.INVALID_ARGUMENT,
    "denied": grpc.StatusCode.PERMISSION_DENIED,
    "not-found": grpc.StatusCode.NOT_FOUND,
    "differs": grpc.StatusCode.ALREADY_EXISTS,
    "cancelled": grpc.StatusCode.CANCELLED,
    "failed": grpc.StatusCode.INTERNAL,
    UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
}
"""gRPC status of each kind of error."""
STRICT = ("triton_grpc_error", "true")
"""Metadata of a caller who wants a stream to end with the status of an error."""


def server(router: Router) -> grpc.aio.Server:
    """The gRPC server, without a port yet."""
    made = grpc.aio.server(options=OPTIONS, maximum_concurrent_rpcs=CALLS)
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_Door(router), made)
    return made


class _Door(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    def __init__(self, router: Router) -> None:
        self._router = router

    async def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ServerReadyResponse(ready=await self._router.ready())

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        ready = request.name in (MODEL, STREAM) and await self._router.ready()
        return service_pb2.ModelReadyResponse(ready=ready)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        if request.name not in (MODEL, STREAM):
            await _refuse(context, _unknown(request.name), "")
        return service_pb2.ModelMetadataResponse(
            name=request.name,
            versions=["1"],
            platform="python",
            inputs=_described(INPUTS),
            outputs=_described(outputs.OUTPUTS),
        )

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        try:
            if request.model_name != MODEL:
                raise _unknown(request.model_name)
            reply = await self._router.once(_read(request, context))
        except Exception as error:
            await _refuse(context, error, request.id)
        return messages.write(outputs.tensors(reply), model=MODEL, request_id=request.id, last=True)

    async def ModelStreamInfer(  # noqa: N802
        self, requests: AsyncIterator[Any], context: Any
    ) -> AsyncIterator[Any]:
        async for request in requests:
            try:
                if request.model_name != STREAM:
                    raise _unknown(request.model_name)
                async with aclosing(self._router.steps(_read(request, context))) as answers:
                    async for answer in answers:
                        yield service_pb2.ModelStreamInferResponse(
                            infer_response=_answer(answer, request.id)
                        )
            except Exception as error:
                if STRICT in context.invocation_metadata():
                    await _refuse(context, error, request.id)
                yield service_pb2.ModelStreamInferResponse(
                    error_message=describe(error, request.id)
                )


def _answer(answer: Step | Reply, request_id: str) -> Any:
    last = isinstance(answer, Reply)
    tensors = outputs.tensors(answer) if isinstance(answer, Reply) else answer.tensors()
    return messages.write(tensors, model=STREAM, request_id=request_id, last=last)


def _described(tensors: dict[str, Datatype]) -> list[Any]:
    return [
        service_pb2.ModelMetadataResponse.TensorMetadata(
            name=name, datatype=datatype, shape=[-1 if name in LISTS else 1]
        )
        for name, datatype in tensors.items()
    ]


def _read(request: Any, context: Any) -> Infer:
    """A call and, from its metadata, the trace that it is part of."""
    trace = {key: value for key, value in context.invocation_metadata() if key in HEADERS}
    return replace(messages.read(request), trace=trace)


def _unknown(model: str) -> UmoError:
    return NotFoundError(f"there is no model {model[:40]!r}", hint=f"known: {MODEL}, {STREAM}")


async def _refuse(context: Any, error: Exception, request_id: str) -> NoReturn:
    """End a call with the status of an error."""
    await context.abort(CODES[kind_of(error)], describe(error, request_id))
    raise AssertionError("abort raises")
