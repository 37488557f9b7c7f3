"""A program that traces itself and asks a server for pictures in every way there is.

Called as `python traced_program.py HTTP GRPC PROMPT KEY`, with two addresses; prints the trace of
each way as JSON.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import aclosing, closing

from opentelemetry import trace

from umo.errors import UsageError
from umo_serving.client import AsyncClient, Client, UnavailableError
from umo_serving.client.target import Protocol
from umo_serving.probe import PICTURES
from umo_serving.trace import exported

HTTP, GRPC, PROMPT, KEY = sys.argv[1:]
PEOPLE = sorted(PICTURES.glob("*.png"))
TOO_LARGE = {"width": 1024, "height": 1024}
"""The model alone knows that it cannot."""


def where(protocol: Protocol) -> str:
    return HTTP if protocol == "http" else GRPC


def blocking(protocol: Protocol) -> None:
    with Client(where(protocol), protocol=protocol, key=KEY) as client:
        client.generate(PROMPT, PEOPLE, steps=1, matches=True)


def awaited(protocol: Protocol) -> None:
    async def call() -> None:
        async with AsyncClient(where(protocol), protocol=protocol, key=KEY) as client:
            await client.generate(PROMPT, PEOPLE, steps=1, matches=True)

    asyncio.run(call())


def together() -> None:
    async def calls() -> None:
        async with AsyncClient(HTTP, key=KEY) as client:
            await asyncio.gather(
                *(client.generate(PROMPT, PEOPLE, steps=3, matches=True) for _ in range(4))
            )

    asyncio.run(calls())


def stream() -> None:
    outside = trace.get_current_span()
    with Client(GRPC, protocol="grpc") as client:
        for _ in client.stream(PROMPT, PEOPLE, steps=2, matches=True):
            assert trace.get_current_span() is outside


def awaited_stream() -> None:
    async def watch() -> None:
        outside = trace.get_current_span()
        async with AsyncClient(GRPC, protocol="grpc") as client:
            async for _ in client.stream(PROMPT, PEOPLE, steps=2, matches=True):
                assert trace.get_current_span() is outside

    asyncio.run(watch())


def left() -> None:
    with (
        Client(GRPC, protocol="grpc") as client,
        closing(client.stream(PROMPT, PEOPLE, steps=100)) as answers,
    ):
        next(answers)


def awaited_and_left() -> None:
    async def leave() -> None:
        async with (
            AsyncClient(GRPC, protocol="grpc") as client,
            aclosing(client.stream(PROMPT, PEOPLE, steps=100)) as answers,
        ):
            await anext(answers)

    asyncio.run(leave())


def refused(protocol: Protocol) -> None:
    with Client(where(protocol), protocol=protocol) as client:
        try:
            client.generate(PROMPT, PEOPLE, **TOO_LARGE)
        except UsageError:
            return
    raise AssertionError("it painted")


def refused_stream() -> None:
    with Client(GRPC, protocol="grpc") as client:
        try:
            list(client.stream(PROMPT, PEOPLE, **TOO_LARGE))
        except UsageError:
            return
    raise AssertionError("it painted")


def nobody_there() -> None:
    with Client("127.0.0.1:1", retries=2) as client:
        try:
            client.generate(PROMPT, PEOPLE)
        except UnavailableError:
            return
    raise AssertionError("somebody was there")


WAYS: dict[str, Callable[[], None]] = {
    "http": lambda: blocking("http"),
    "grpc": lambda: blocking("grpc"),
    "awaited http": lambda: awaited("http"),
    "awaited grpc": lambda: awaited("grpc"),
    "together": together,
    "stream": stream,
    "awaited stream": awaited_stream,
    "left": left,
    "awaited and left": awaited_and_left,
    "refused http": lambda: refused("http"),
    "refused grpc": lambda: refused("grpc"),
    "refused stream": refused_stream,
    "nobody there": nobody_there,
}


def main() -> None:
    traces = {}
    with exported("program"):
        tracer = trace.get_tracer("program")
        for name, way in WAYS.items():
            with tracer.start_as_current_span(name) as span:
                traces[name] = f"{span.get_span_context().trace_id:032x}"
                way()
        # No trace of the program's own.
        blocking("http")
    print(json.dumps(traces))


if __name__ == "__main__":
    main()
