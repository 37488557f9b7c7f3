"""Which server a client talks to: its address, its key, and what it means when it is not there."""

import os
import ssl
from contextlib import AbstractContextManager
from dataclasses import dataclass
from http.client import BadStatusLine
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from umo.errors import NotFoundError, UmoError, UsageError
from umo_serving.client.failures import UnavailableError, from_grpc
from umo_serving.client.wire import Infer
from umo_serving.trace import Span, span

Protocol = Literal["http", "grpc"]
MODEL = "umo"
"""Name of the model that answers once."""
STREAM = "umo_stream"
"""Name of the model that answers after each step."""

TIMEOUT = 120.0
"""Seconds that one call may take, unless said otherwise."""
CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.enable_http_proxy", 0),
)
"""Messages of any size, and a server that comes back is found within two seconds."""

NOT_THERE = ("failed to connect", "Socket closed")
"""How gRPC begins to say that there is no server, or no longer."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One server."""

    address: str
    """`host:port`."""
    protocol: Protocol = "http"
    """What the address speaks."""
    key: str | None = None
    """API key, sent as a bearer token."""
    tls: bool | Path = False
    """Whether to encrypt; a PEM file names the authorities to trust."""
    timeout: float = TIMEOUT
    """Seconds that one call may take, repetitions included."""

    def __post_init__(self) -> None:
        """Check what was given.

        Raises:
            UsageError: The address is no `host:port`, or no header can carry the key.
            NotFoundError: The file of authorities does not exist.
        """
        try:
            parts = urlsplit(f"//{self.address}")
            complete = parts.hostname and parts.port and parts.netloc == self.address
        except ValueError:
            complete = False
        if not complete or parts.username is not None:
            raise UsageError(
                f"{self.address!r} is no address", hint="give host:port, such as 127.0.0.1:8000"
            )
        if self.key is not None and not (self.key.isascii() and self.key.isprintable()):
            raise UsageError("the key has characters that no header can carry")
        if isinstance(self.tls, Path) and not self.tls.is_file():
            raise NotFoundError(f"no certificates at {self.tls}")

    @property
    def url(self) -> str:
        """Where HTTP calls go."""
        return f"{'https' if self.tls else 'http'}://{self.address}"

    @property
    def authorities(self) -> Path | None:
        """The PEM file of the authorities to trust; None for the usual ones."""
        return self.tls if isinstance(self.tls, Path) else None

    def headers(self, call: Infer) -> dict[str, str]:
        """Headers of a call, in lower case: the key, and the trace."""
        return {**({"authorization": f"Bearer {self.key}"} if self.key else {}), **call.trace}

    def span(
        self, name: str, model: str, request_id: str, *, current: bool
    ) -> AbstractContextManager[Span]:
        """A call with all its repetitions as a span; see `umo_serving.trace.span`."""
        return span(
            name,
            "CLIENT",
            begins=True,
            current=current,
            address=self.address,
            protocol=self.protocol,
            endpoint=model,
            request_id=request_id,
            retries=0,
        )

    def unreachable(self, error: BaseException) -> UmoError:
        """The error when no connection could be made, or it broke."""
        root = _root(error)
        if isinstance(root, ssl.SSLError):
            return UmoError(
                f"no secure connection to {self.address}: {root.reason or root}",
                hint="does the server speak TLS, and are its authorities trusted?",
            )
        if isinstance(root, OSError):
            number = root.errno or 0
            return self._gone(os.strerror(number) if number > 0 else root.strerror or str(root))
        if isinstance(root, BadStatusLine):
            return self.stranger("HTTP")
        return self._gone(str(root))

    def stranger(self, protocol: str) -> UmoError:
        """The error when something answers that does not speak `protocol`."""
        return UmoError(
            f"{self.address} does not speak {protocol}", hint="HTTP and gRPC have a port each"
        )

    def silent(self) -> UmoError:
        """The error when no answer came in time."""
        return UnavailableError(
            f"no answer from {self.address} within {self.timeout:g} s", hint="allow more time"
        )

    def failure(self, error: Any) -> UmoError:
        """The error behind a `grpc.RpcError`."""
        code, details = error.code().name, error.details() or ""
        if code == "DEADLINE_EXCEEDED":
            return self.silent()
        if "http1.x server" in details:
            return self.stranger("gRPC")
        if code == "UNAVAILABLE" and details.startswith(NOT_THERE):
            return self._gone(details.rpartition(": ")[2])
        return from_grpc(code, details)

    def _gone(self, reason: str) -> UmoError:
        return UnavailableError(
            f"cannot reach {self.address}: {reason}", hint="is it running, and is this its port?"
        )


def _root(error: BaseException) -> BaseException:
    """The first cause of an error; urllib3 hands it on as the last argument."""
    last = error.args[-1] if error.args else None
    cause = error.__cause__ or (last if isinstance(last, BaseException) else None)
    return _root(cause) if cause else error


def no_stream() -> UsageError:
    """The error when a client that speaks HTTP is asked to stream."""
    return UsageError("streaming needs gRPC", hint='give protocol="grpc" and the port of gRPC')
