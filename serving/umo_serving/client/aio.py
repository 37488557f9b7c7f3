"""The asyncio client: the calls of `Client`, awaited."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

import aiohttp
import grpc
from tritonclient.grpc import service_pb2_grpc

from umo.errors import UmoError
from umo_serving.client import wire
from umo_serving.client.failures import from_grpc, from_http
from umo_serving.client.generation import Generation, Progress
from umo_serving.client.order import Options, Order, Picture
from umo_serving.client.retry import RETRIES, Patience
from umo_serving.client.target import (
    CHANNEL_OPTIONS,
    MODEL,
    STREAM,
    TIMEOUT,
    Protocol,
    Target,
    no_stream,
)
from umo_serving.client.transport import credentials, stream_metadata


class AsyncHttpTransport:
    """Calls over HTTP/1.1 within one event loop."""

    def __init__(self, target: Target) -> None:
        self._target = target
        context = ssl.create_default_context(cafile=target.authorities) if target.tls else True
        connector = aiohttp.TCPConnector(limit=0, ssl=context)
        self._session = aiohttp.ClientSession(connector=connector)

    async def infer(self, call: wire.Infer, timeout: float) -> wire.Outputs:
        """Answer of a call that may take `timeout` seconds.

        Raises:
            UmoError: There is none, or it is an error.
        """
        body, headers = call.http()
        try:
            async with self._session.post(
                self._target.url + call.path,
                data=body,
                headers={**self._target.headers(call), **headers},
                timeout=aiohttp.ClientTimeout(total=timeout),
                allow_redirects=False,
            ) as answer:
                content = await answer.read()
        except TimeoutError:
            raise self._target.silent() from None
        except aiohttp.ClientResponseError:
            raise self._target.stranger("HTTP") from None
        except aiohttp.ClientError as error:
            raise self._target.unreachable(error) from error
        if answer.status != 200:
            raise from_http(answer.status, content, answer.headers.get("retry-after"))
        return wire.from_http(content, answer.headers)

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


class AsyncGrpcTransport:
    """Calls over gRPC within one event loop."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._channel = (
            grpc.aio.secure_channel(target.address, credentials(target), CHANNEL_OPTIONS)
            if target.tls
            else grpc.aio.insecure_channel(target.address, CHANNEL_OPTIONS)
        )
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    async def infer(self, call: wire.Infer, timeout: float) -> wire.Outputs:
        """Answer of a call that may take `timeout` seconds.

        Raises:
            UmoError: There is none, or it is an error.
        """
        try:
            answer = await self._stub.ModelInfer(
                call.grpc(), timeout=timeout, metadata=tuple(self._target.headers(call).items())
            )
        except grpc.RpcError as error:
            raise self._target.failure(error) from error
        return wire.from_grpc(answer)

    async def stream(self, call: wire.Infer, timeout: float) -> AsyncGenerator[wire.Outputs]:
        """Answers of a call to a decoupled model; closing the generator cancels the call.

        Raises:
            UmoError: The call failed, or took longer than `timeout` seconds.
        """
        answers = self._stub.ModelStreamInfer(
            iter([call.grpc()]), timeout=timeout, metadata=stream_metadata(self._target, call)
        )
        try:
            async for answer in answers:
                if answer.error_message:
                    raise from_grpc("UNKNOWN", answer.error_message)
                yield wire.from_grpc(answer.infer_response)
        except grpc.RpcError as error:
            raise self._target.failure(error) from error
        finally:
            answers.cancel()

    async def close(self) -> None:
        """Close the channel; calls under way are cancelled."""
        await self._channel.close()


class AsyncClient:
    """Asks a server for pictures from within one event loop; its arguments are those of `Client`.

    Args:
        address: `host:port` of the server, or of the gateway before it.
        protocol: `http` or `grpc`; each has a port of its own.
        key: API key that the gateway asks for.
        timeout: Seconds that one call may take, repetitions included.
        retries: How often a call is repeated after a failure that may pass.
        tls: Whether to encrypt; a PEM file names the authorities to trust.

    Raises:
        UsageError: The address is no `host:port`, or no header can carry the key.
        NotFoundError: The PEM file does not exist.
    """

    def __init__(
        self,
        address: str,
        *,
        protocol: Protocol = "http",
        key: str | None = None,
        timeout: float = TIMEOUT,
        retries: int = RETRIES,
        tls: bool | Path = False,
    ) -> None:
        self._target = Target(address=address, protocol=protocol, key=key, tls=tls, timeout=timeout)
        self._retries = retries

    @cached_property
    def _transport(self) -> AsyncHttpTransport | AsyncGrpcTransport:
        """Made by the first call, because it belongs to the event loop that runs then."""
        if self._target.protocol == "http":
            return AsyncHttpTransport(self._target)
        return AsyncGrpcTransport(self._target)

    async def generate(
        self, prompt: str, references: Sequence[Picture] = (), **options: Unpack[Options]
    ) -> Generation:
        """Paint; see `Client.generate`."""
        order = await asyncio.to_thread(Order.of, prompt, references, options)
        patience = Patience(self._target.timeout, self._retries)
        with self._target.span("umo.generate", MODEL, order.request_id, current=True) as span:
            call = order.infer(MODEL, span.headers)
            while True:
                try:
                    return Generation.of(order, await self._transport.infer(call, patience.left()))
                except UmoError as error:
                    await asyncio.sleep(patience.pause(error))
                    span.note(retries=patience.repeated)

    async def stream(
        self, prompt: str, references: Sequence[Picture] = (), **options: Unpack[Options]
    ) -> AsyncGenerator[Progress]:
        """Paint and watch; see `Client.stream`."""
        if not isinstance(self._transport, AsyncGrpcTransport):
            raise no_stream()
        order = await asyncio.to_thread(Order.of, prompt, references, options)
        progress = None
        with self._target.span("umo.stream", STREAM, order.request_id, current=False) as span:
            call = order.infer(STREAM, span.headers)
            async with aclosing(self._transport.stream(call, self._target.timeout)) as answers:
                async for outputs in answers:
                    progress = Progress.of(order, outputs, progress)
                    yield progress

    async def close(self) -> None:
        """Close the connection."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
