"""The blocking client."""

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from umo.errors import UmoError
from umo_serving.client.generation import Generation, Progress
from umo_serving.client.order import Options, Order, Picture
from umo_serving.client.retry import RETRIES, Patience
from umo_serving.client.target import MODEL, STREAM, TIMEOUT, Protocol, Target, no_stream
from umo_serving.client.transport import GrpcTransport, HttpTransport


class Client:
    """Asks a server for pictures; may be used by many threads.

    Args:
        address: `host:port` of the server, or of the gateway before it.
        protocol: `http` or `grpc`; each has a port of its own.
        key: API key that the gateway asks for.
        timeout: Seconds that one call may take, repetitions included.
        retries: How often a call is repeated after a failure that may pass. A repetition has the
            same request id and the same seed.
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
        target = Target(address=address, protocol=protocol, key=key, tls=tls, timeout=timeout)
        self._transport = HttpTransport(target) if protocol == "http" else GrpcTransport(target)
        self._target = target
        self._retries = retries

    def generate(
        self, prompt: str, references: Sequence[Picture] = (), **options: Unpack[Options]
    ) -> Generation:
        """Paint.

        Args:
            prompt: What to paint.
            references: Pictures of the people, one each.
            options: See `Options`.

        Returns:
            The pictures, a list that knows their seeds and the model that painted them.

        Raises:
            UsageError: A value is outside its limits.
            NotFoundError: A file, or the model, does not exist.
            DeniedError: The key is missing or may not do this.
            UnavailableError: The server did not answer in time; try again.
            UmoError: The server failed.
        """
        order = Order.of(prompt, references, options)
        patience = Patience(self._target.timeout, self._retries)
        with self._target.span("umo.generate", MODEL, order.request_id, current=True) as span:
            call = order.infer(MODEL, span.headers)
            while True:
                try:
                    return Generation.of(order, self._transport.infer(call, patience.left()))
                except UmoError as error:
                    time.sleep(patience.pause(error))
                    span.note(retries=patience.repeated)

    def stream(
        self, prompt: str, references: Sequence[Picture] = (), **options: Unpack[Options]
    ) -> Generator[Progress]:
        """Paint and watch; closing the generator stops the painting.

        Args:
            prompt: What to paint.
            references: Pictures of the people, one each.
            options: See `Options`.

        Returns:
            A generator of one `Progress` for each step; the last one holds the pictures.

        Raises:
            UsageError: A value is outside its limits, or this client does not speak gRPC.
            UmoError: As `generate`; nothing is repeated.
        """
        if not isinstance(self._transport, GrpcTransport):
            raise no_stream()
        order = Order.of(prompt, references, options)
        return self._progress(self._transport, order)

    def _progress(self, transport: GrpcTransport, order: Order) -> Generator[Progress]:
        progress = None
        with self._target.span("umo.stream", STREAM, order.request_id, current=False) as span:
            call = order.infer(STREAM, span.headers)
            with closing(transport.stream(call, self._target.timeout)) as answers:
                for outputs in answers:
                    progress = Progress.of(order, outputs, progress)
                    yield progress

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
