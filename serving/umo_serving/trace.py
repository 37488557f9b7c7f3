"""One trace from the caller's program through the gate to the model, by OpenTelemetry.

W3C's headers `traceparent` and `tracestate` carry it from process to process. The processes of a
server send their spans to the collector that the standard variables name; a program that uses the
client sends its own as it likes. Nothing is recorded where nothing is configured, and the client
works without the packages of OpenTelemetry. A span holds no prompt, no picture and no path.
"""

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Literal

from umo_serving.failures import kind_of
from umo_serving.request import CancelledError

try:
    from opentelemetry import trace as otel
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:
    otel = None  # type: ignore[assignment]
else:
    W3C = TraceContextTextMapPropagator()
    TRACER = otel.get_tracer("umo_serving")

HEADERS = ("traceparent", "tracestate")
"""What carries a trace, in lower case."""
COLLECTORS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""Environment variables that name a collector for OTLP over HTTP."""
FLUSH_SECONDS = 2.0
"""What a process that ends gives the collector for its last spans."""
SILENT = {"record_exception": False, "set_status_on_exception": False}
"""A message or traceback may hold what no span may hold."""
Fact = str | int | float | bool


class Span:
    """A piece of work in a trace, or in none.

    Args:
        inner: The span of OpenTelemetry; None in none.
    """

    def __init__(self, inner: "otel.Span | None") -> None:
        self._inner = inner

    @property
    def headers(self) -> dict[str, str]:
        """What carries the trace on to the next process; empty in no trace."""
        headers: dict[str, str] = {}
        if self._inner:
            W3C.inject(headers, otel.set_span_in_context(self._inner))
        return headers

    def note(self, **facts: Fact) -> None:
        """Write down facts; `name` becomes the attribute `umo.name`."""
        if self._inner:
            self._inner.set_attributes({f"umo.{name}": fact for name, fact in facts.items()})


@contextmanager
def span(
    name: str,
    kind: Literal["CLIENT", "SERVER", "INTERNAL"] = "INTERNAL",
    *,
    parent: Mapping[str, str] | None = None,
    begins: bool = False,
    current: bool = True,
    **facts: Fact,
) -> Iterator[Span]:
    """A span around the block; an error that leaves the block is written down by its kind.

    Args:
        name: Of the work.
        kind: On which side of a call it is done.
        parent: Headers of the call that it belongs to; None for the span that is current.
        begins: Whether it begins a trace where it belongs to none.
        current: Whether it is the current span of the block. A generator must not say so: its
            consumer would find it, too.
        facts: See `Span.note`.
    """
    context = None if otel is None or parent is None else W3C.extract(parent)
    if otel is None or not (begins or otel.get_current_span(context).get_span_context().is_valid):
        yield Span(None)
        return
    inner = TRACER.start_span(name, context, otel.SpanKind[kind])
    made = Span(inner)
    made.note(**facts)
    try:
        with otel.use_span(inner, **SILENT) if current else nullcontext():
            yield made
    except Exception as error:
        inner.set_attribute("error.type", kind_of(error))
        if not isinstance(error, CancelledError):
            inner.set_status(otel.StatusCode.ERROR)
        raise
    finally:
        inner.end()


@contextmanager
def exported(service: str) -> Iterator[None]:
    """Send the spans of this process to the collector that the environment names, if it does.

    Nobody waits for the collector but the end of the block, and that for `FLUSH_SECONDS` at most.

    Args:
        service: What the process is called, unless `OTEL_SERVICE_NAME` says otherwise.
    """
    if not any(os.environ.get(name) for name in COLLECTORS):
        yield
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # A collector that is away is one line, not one for each try.
    logging.getLogger("opentelemetry.exporter").setLevel(logging.ERROR)
    name = os.environ.get("OTEL_SERVICE_NAME", service)
    resource = Resource.create({"service.name": name})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    otel.set_tracer_provider(provider)
    try:
        yield
    finally:
        last = threading.Thread(target=provider.shutdown, daemon=True)
        last.start()
        last.join(FLUSH_SECONDS)
