"""The client against a real server: both protocols, blocking and awaited, streams and failures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any

import pytest

from umo.errors import DiffersError, UmoError, UsageError
from umo_serving.client import AsyncClient, Client, Generation, Progress, UnavailableError
from umo_serving.client.target import Protocol
from umo_serving.probe import PICTURES

if TYPE_CHECKING:
    from services.triton import Triton

PROMPT = "Two people side by side in a park"
PEOPLE = sorted(PICTURES.glob("*.png"))
FEW = {"seed": 3, "steps": 2}
Ask = Callable[..., Generation]


def address(server: Triton, protocol: Protocol) -> str:
    return server.http if protocol == "http" else server.grpc


def painted(server: Triton) -> float:
    """How often the version has painted for a caller; the server's own probes do not count."""
    return server.metric("umo_calls_total", outcome="ok")


@pytest.fixture(params=["http", "grpc"])
def protocol(request: pytest.FixtureRequest) -> Protocol:
    return request.param


@pytest.fixture(params=["blocking", "awaited"])
def ask(request: pytest.FixtureRequest, triton: Triton, protocol: Protocol) -> Ask:
    """`generate` of either client over either protocol."""
    where = address(triton, protocol)

    def blocking(*arguments: Any, **options: Any) -> Generation:
        with Client(where, protocol=protocol) as client:
            return client.generate(*arguments, **options)

    def awaited(*arguments: Any, **options: Any) -> Generation:
        async def call() -> Generation:
            async with AsyncClient(where, protocol=protocol) as client:
                return await client.generate(*arguments, **options)

        return asyncio.run(call())

    return blocking if request.param == "blocking" else awaited


def same(first: Generation, second: Generation) -> bool:
    return [picture.tobytes() for picture in first] == [picture.tobytes() for picture in second]


def test_two_people(ask: Ask, triton: Triton) -> None:
    made = ask(PROMPT, PEOPLE, **FEW, images=2, matches=True)
    assert [picture.size for picture in made] == [(192, 96)] * 2
    assert made.seeds == [3, 4]
    assert made.model_digest == triton.digest
    assert len(made.matches) == 2
    for match in made.matches:
        assert len(match["cosines"]) == len(PEOPLE)
        assert -1 <= match["score"] <= 1
    assert same(made, ask(PROMPT, PEOPLE, **FEW, images=2))


def test_nobody_and_nothing_said(ask: Ask) -> None:
    made = ask("A beach")
    assert len(made) == 1
    assert made.matches == []


def test_what_only_the_server_knows_to_refuse(ask: Ask) -> None:
    with pytest.raises(UsageError, match=r"1024 x 1024 is 1048576 pixels, this model paints at"):
        ask(PROMPT, PEOPLE, width=1024, height=1024)


def test_a_request_id_is_painted_once(ask: Ask, triton: Triton) -> None:
    name = f"once-{time.monotonic_ns()}"
    first = ask(PROMPT, PEOPLE, **FEW, request_id=name)
    before = painted(triton)
    assert same(first, ask(PROMPT, PEOPLE, **FEW, request_id=name))
    assert painted(triton) == before
    with pytest.raises(DiffersError, match=f"request id {name} was another request"):
        ask("One person", PEOPLE[:1], **FEW, request_id=name)


def test_repetitions_that_overlap_are_painted_once(triton: Triton, protocol: Protocol) -> None:
    name = f"overlap-{time.monotonic_ns()}"
    before = painted(triton)
    with Client(address(triton, protocol), protocol=protocol) as client:

        def call(_: int) -> Generation:
            return client.generate(PROMPT, PEOPLE, seed=1, steps=12, request_id=name)

        with ThreadPoolExecutor(4) as callers:
            first, *others = callers.map(call, range(4))
    assert all(same(first, other) for other in others)
    assert painted(triton) == before + 1


def test_one_client_serves_many_threads(triton: Triton, protocol: Protocol) -> None:
    with Client(address(triton, protocol), protocol=protocol) as client:

        def call(seed: int) -> Generation:
            return client.generate(PROMPT, PEOPLE, seed=seed, steps=1)

        with ThreadPoolExecutor(8) as callers:
            together = list(callers.map(call, range(16)))
        for seed in (0, 7, 15):
            assert same(together[seed], call(seed))


def test_many_calls_of_one_event_loop(triton: Triton, protocol: Protocol) -> None:
    async def together() -> list[Generation]:
        async with AsyncClient(address(triton, protocol), protocol=protocol) as client:
            return await asyncio.gather(
                *(client.generate(PROMPT, PEOPLE, seed=seed % 4, steps=1) for seed in range(8))
            )

    made = asyncio.run(together())
    assert all(same(made[seed], made[seed + 4]) for seed in range(4))


def check(seen: list[Progress], whole: Generation) -> None:
    *steps, last = seen
    assert [progress.step for progress in steps] == list(range(1, 13))
    assert all(progress.steps == 12 and not progress.result for progress in steps)
    previews = [progress.previews[0] for progress in steps if progress.previews]
    assert previews
    assert all(preview.size == whole[0].size for preview in previews)
    assert last.result
    assert same(last.result, whole)
    assert last.result.model_digest == whole.model_digest


def test_a_stream(triton: Triton) -> None:
    with Client(triton.grpc, protocol="grpc") as client:
        seen = list(client.stream(PROMPT, PEOPLE, seed=3, steps=12))
        check(seen, client.generate(PROMPT, PEOPLE, seed=3, steps=12))


def test_an_awaited_stream(triton: Triton) -> None:
    async def watch() -> tuple[list[Progress], Generation]:
        async with AsyncClient(triton.grpc, protocol="grpc") as client:
            seen = [progress async for progress in client.stream(PROMPT, PEOPLE, seed=3, steps=12)]
            return seen, await client.generate(PROMPT, PEOPLE, seed=3, steps=12)

    check(*asyncio.run(watch()))


def test_streams_need_grpc() -> None:
    async def watch() -> None:
        async with AsyncClient("127.0.0.1:1") as client:
            async for _ in client.stream(PROMPT):
                pass

    with Client("127.0.0.1:1") as client, pytest.raises(UsageError, match="streaming needs gRPC"):
        client.stream(PROMPT)
    with pytest.raises(UsageError, match="streaming needs gRPC"):
        asyncio.run(watch())


def cancelled(server: Triton) -> float:
    return server.metric("umo_calls_total", endpoint="umo_stream", outcome="cancelled")


def await_cancelled(server: Triton, before: float) -> None:
    end = time.monotonic() + 60
    while cancelled(server) == before:
        assert time.monotonic() < end, "the server goes on"
        time.sleep(0.05)


def test_a_stream_that_is_closed_stops_the_painting(triton: Triton) -> None:
    before = cancelled(triton)
    with Client(triton.grpc, protocol="grpc") as client:
        with closing(client.stream(PROMPT, PEOPLE, steps=100)) as stream:
            next(stream)
        await_cancelled(triton, before)


def computed(server: Triton) -> float:
    """Seconds that the version has computed."""
    (version,) = (one for one in server.processes().values() if "stub" in one.name())
    times = version.cpu_times()
    return float(times.user + times.system)


def test_a_stream_that_is_closed_costs_few_steps_of_its_hundred(
    triton: Triton, capsys: pytest.CaptureFixture[str]
) -> None:
    with Client(triton.grpc, protocol="grpc") as client:
        start = computed(triton)
        client.generate(PROMPT, PEOPLE, steps=100)
        whole = computed(triton) - start
        start = computed(triton)
        with closing(client.stream(PROMPT, PEOPLE, steps=100)) as stream:
            seen = next(stream).step
        time.sleep(whole)
        spent = computed(triton) - start
    with capsys.disabled():
        print(f"\nclosed at step {seen}: computed as for {100 * spent / whole:.1f} of 100 steps")
    assert spent < whole / 5


def test_an_awaited_stream_that_is_left_stops_the_painting(triton: Triton) -> None:
    async def leave() -> None:
        async with AsyncClient(triton.grpc, protocol="grpc") as client:
            async with aclosing(client.stream(PROMPT, PEOPLE, steps=100)) as stream:
                await anext(stream)
            await asyncio.to_thread(await_cancelled, triton, before)

    before = cancelled(triton)
    asyncio.run(leave())


def test_a_stream_is_refused_as_a_call_is(triton: Triton) -> None:
    with Client(triton.grpc, protocol="grpc") as client:
        for ask in (client.generate, lambda *a, **o: list(client.stream(*a, **o))):
            with pytest.raises(UsageError, match="this model paints at most"):
                ask(PROMPT, PEOPLE, width=1024, height=1024)


@pytest.mark.parametrize("other", ["http", "grpc"])
def test_the_port_of_the_other_protocol(triton: Triton, other: Protocol) -> None:
    wrong = triton.grpc if other == "http" else triton.http
    with (
        Client(wrong, protocol=other) as client,
        pytest.raises(
            UmoError, match=r"does not speak (HTTP|gRPC); HTTP and gRPC have a port each"
        ),
    ):
        client.generate(PROMPT)


def test_no_time(triton: Triton, protocol: Protocol) -> None:
    with (
        Client(address(triton, protocol), protocol=protocol, timeout=0.3) as client,
        pytest.raises(UnavailableError, match=r"no answer from .* within 0.3 s; allow more time"),
    ):
        client.generate(PROMPT, PEOPLE, steps=100)
