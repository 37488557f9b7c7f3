"""A collector of traces: what OpenTelemetry's exporters send it over HTTP, decoded."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message
from opentelemetry.proto.trace.v1.trace_pb2 import Status


@dataclass(frozen=True)
class Span:
    """One span that arrived."""

    service: str
    name: str
    kind: str
    trace: str
    own: str
    parent: str
    failed: bool
    facts: dict[str, Any]
    """Its attributes."""


@dataclass
class Collector:
    """What a collector was sent so far."""

    port: int
    spans: list[Span] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    """The requests as they came."""
    asked: int = 0
    """Requests that came, answered or not."""
    speaks: threading.Event = field(default_factory=threading.Event)
    """While it is not set, exporters get a connection and no answer."""

    @property
    def environment(self) -> dict[str, str]:
        """What an operator sets."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}"}

    def take(self, path: str, body: bytes) -> int:
        """Decode a request; its HTTP status."""
        if path != "/v1/traces":
            return 404
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _facts(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                self.spans += [_span(service, message) for message in scope.spans]
        return 200


@contextmanager
def collector(port: int = 0) -> Iterator[Collector]:
    """Run a collector inside the block, on a free port unless one is named."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made.asked += 1
            made.speaks.wait()
            self.send_response(made.take(self.path, body))
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        made = Collector(server.server_port)
        made.speaks.set()
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield made
        finally:
            made.speaks.set()
            server.shutdown()
            thread.join()


def _span(service: str, message: Message) -> Span:
    return Span(
        service=service,
        name=message.name,
        kind=Message.SpanKind.Name(message.kind).removeprefix("SPAN_KIND_"),
        trace=message.trace_id.hex(),
        own=message.span_id.hex(),
        parent=message.parent_span_id.hex(),
        failed=message.status.code == Status.STATUS_CODE_ERROR,
        facts=_facts(message.attributes),
    )


def _facts(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
