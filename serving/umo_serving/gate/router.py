"""One call at the gate: its place in the queue, its repetitions, the version that answers it."""

import asyncio
import itertools
import time
import traceback
import uuid
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from umo.errors import UmoError
from umo_serving.client import wire
from umo_serving.client.failures import from_grpc
from umo_serving.client.target import CHANNEL_OPTIONS, NOT_THERE
from umo_serving.client.wire import INPUTS, Infer, Tensor
from umo_serving.failures import kind_of, parse, unavailable
from umo_serving.gate import inputs, outputs
from umo_serving.gate.metrics import Metrics
from umo_serving.gate.outputs import Step
from umo_serving.journal import log
from umo_serving.processes import alive
from umo_serving.replies import Replies
from umo_serving.request import PROBE, CancelledError, Reply, Request
from umo_serving.routes import Target, Watched
from umo_serving.trace import span

QUEUE = 64
"""Most calls in hand; more are told to try again."""
SECONDS = 900.0
"""Longest that a call may take."""
WATCH = 0.25
"""Seconds between two looks whether the process of a silent version still lives."""
SILENCE = 30.0
"""Seconds after which a version that did not say which process it is counts as dead."""
MEASURED = 50
"""One in so many calls is measured for the identity score, and every call during a trial."""
LOST = ("Stub process", "not ready", "unknown model", "is not found", *NOT_THERE)
"""What Triton says of a version that is gone or not there yet."""
STREAM = {on: Tensor("STREAM", "BOOL", [on]) for on in (False, True)}


@dataclass(eq=False, kw_only=True)
class Call:
    """One call in hand."""

    endpoint: str
    """Name of the model that the caller asks."""
    request_id: str
    """What the caller named it, or a name of ours."""
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    """What the version calls it; unlike the request id it is never given twice."""
    since: float = field(default_factory=time.monotonic)
    """When it came."""
    trace: Mapping[str, str] = field(default_factory=dict)
    """Headers that carry on the trace that it is part of."""
    request: Request | None = None
    """What is asked for, once it is read."""
    version: str = ""
    """Version that answers, once it is chosen."""
    outcome: str = "ok"
    """How it ends."""

    @property
    def probe(self) -> bool:
        """Whether it only asks whether the server paints."""
        return self.request_id.startswith(PROBE)

    @property
    def seconds(self) -> float:
        """How long ago it came."""
        return round(time.monotonic() - self.since, 3)

    def facts(self) -> dict[str, Any]:
        """What log and trace may say about it: no prompt and no picture."""
        facts: dict[str, Any] = {
            "endpoint": self.endpoint,
            "request_id": self.request_id,
            "version": self.version,
            "outcome": self.outcome,
        }
        if self.request:
            facts |= {
                "references": len(self.request.references),
                "images": self.request.images,
                "steps": self.request.steps,
            }
        return facts


class Router:
    """Passes calls on to the versions of a Triton server, within one event loop.

    Args:
        repository: Folder of the models and `routes.json`.
        server: `host:port` of Triton's gRPC.
        metrics: What is counted.
    """

    def __init__(self, repository: Path, server: str, metrics: Metrics) -> None:
        self._routes = Watched(repository)
        self._metrics = metrics
        self._channel = grpc.aio.insecure_channel(server, CHANNEL_OPTIONS)
        self._triton = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._replies = Replies()
        self._calls: set[Call] = set()
        self._numbers = itertools.count()
        self._tellers: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Close the connection to Triton."""
        await self._channel.close()

    async def ready(self) -> bool:
        """Whether the version that answers is loaded."""
        try:
            target = self._routes.current().champion
            question = service_pb2.ModelReadyRequest(name=target.model)
            return bool((await self._triton.ModelReady(question, timeout=WATCH * 20)).ready)
        except (UmoError, grpc.RpcError):
            return False

    async def once(self, infer: Infer) -> Reply:
        """Answer a call of the endpoint that answers once.

        Args:
            infer: The call.

        Raises:
            UmoError: There is no answer.
        """
        with self._in_hand(infer) as call:
            call.request = await asyncio.to_thread(inputs.request, infer, call.request_id)
            if not infer.request_id:
                return await self._paint(call)
            while True:
                reply, ours = self._replies.claim(call.request_id, call.request)
                if ours:
                    break
                try:
                    earlier = await asyncio.shield(asyncio.wrap_future(reply))
                except CancelledError:
                    continue
                call.version, call.outcome = earlier.version, "repeated"
                return earlier
            try:
                painted = await self._paint(call)
            except BaseException as error:
                gone = isinstance(error, asyncio.CancelledError)
                self._replies.settle(call.request_id, CancelledError() if gone else error)
                raise
            self._replies.settle(call.request_id, painted)
            return painted

    async def steps(self, infer: Infer) -> AsyncGenerator[Step | Reply]:
        """Answer a call of the endpoint that answers after each step; closing it stops the call.

        Args:
            infer: The call.

        Raises:
            UmoError: There is no answer.
        """
        with self._in_hand(infer) as call:
            call.request = await asyncio.to_thread(inputs.request, infer, call.request_id)
            async with aclosing(self._watch(call, stream=True)) as answers:
                async for answer in answers:
                    yield answer

    @contextmanager
    def _in_hand(self, infer: Infer) -> Iterator[Call]:
        """Hold a place in the queue for a call, and write down how it ended."""
        call = Call(endpoint=infer.model, request_id=infer.request_id or str(uuid.uuid4()))
        with span(
            "umo.gate",
            "SERVER",
            parent=infer.trace,
            begins=not call.probe,
            current=False,
            queue=len(self._calls),
        ) as traced:
            call.trace = traced.headers
            facts: dict[str, str] = {}
            try:
                if len(self._calls) >= QUEUE:
                    raise unavailable(f"{QUEUE} calls are waiting already")
                self._calls.add(call)
                self._metrics.queue.set(len(self._calls))
                yield call
            except (asyncio.CancelledError, GeneratorExit):
                call.outcome = "cancelled"
                raise
            except UmoError as error:
                call.outcome, facts = kind_of(error), {"error": str(error)}
                raise
            except Exception as error:
                call.outcome, facts = kind_of(error), {"error": traceback.format_exc()}
                raise
            finally:
                self._calls.discard(call)
                self._metrics.queue.set(len(self._calls))
                traced.note(**call.facts())
                if not call.probe:
                    self._count(call)
                    log("call", **call.facts(), seconds=call.seconds, **call.trace, **facts)

    def _count(self, call: Call) -> None:
        labels = (call.endpoint, call.version)
        self._metrics.calls.labels(*labels, call.outcome).inc()
        if call.outcome == "ok":
            self._metrics.seconds.labels(*labels).observe(call.seconds)

    async def _paint(self, call: Call) -> Reply:
        async with aclosing(self._watch(call, stream=False)) as answers:
            async for answer in answers:
                if isinstance(answer, Reply):
                    return answer
        raise unavailable("the version that was painting is gone")

    async def _watch(self, call: Call, *, stream: bool) -> AsyncGenerator[Step | Reply]:
        """Answers of the version that is routed; of the next one if it went before it began."""
        routes = self._routes.current()
        while True:
            target = routes.choose(call.request_id)
            call.version = target.version
            begun = False
            try:
                async with aclosing(self._ask(call, target, stream)) as answers:
                    async for answer in answers:
                        begun = True
                        yield answer
                return
            except UmoError as error:
                newer = self._routes.current()
                if begun or not error.retryable or newer == routes:
                    raise
                routes = newer

    async def _ask(self, call: Call, target: Target, stream: bool) -> AsyncGenerator[Step | Reply]:
        assert call.request
        measured = not call.probe and (
            bool(self._routes.current().challenger) or next(self._numbers) % MEASURED == 0
        )
        asked = replace(call.request, matches=call.request.matches or measured)
        message = Infer(target.model, call.name, (*_tensors(asked), STREAM[stream])).grpc()
        answers = self._triton.ModelStreamInfer(
            iter([message]), timeout=SECONDS, metadata=tuple(call.trace.items())
        )
        finished = False
        last: wire.Outputs = {}
        try:
            # Read to the end: Triton never unloads a version that owes somebody an end.
            async with aclosing(_answers(answers)) as all_found:
                async for found in all_found:
                    if "FAILURE" in found or "PICTURES" in found:
                        finished, last = True, found
                    elif "STEP" in found:
                        yield Step.of(found)
            if "FAILURE" in last:
                raise parse(last["FAILURE"][0].decode())
            if "PICTURES" in last:
                reply = outputs.reply(last)
                if measured:
                    self._score(call, reply)
                yield reply if call.request.matches else replace(reply, matches=[])
        finally:
            answers.cancel()
            if not finished:
                teller = asyncio.create_task(self._tell(call, target))
                self._tellers.add(teller)
                teller.add_done_callback(self._tellers.discard)

    def _score(self, call: Call, reply: Reply) -> None:
        for picture in reply.matches:
            labels = (call.endpoint, reply.version)
            self._metrics.scores.labels(*labels).observe(picture["score"])

    async def _tell(self, call: Call, target: Target) -> None:
        """Tell a version that nobody waits for a call any more."""
        cancel = Tensor("CANCEL", "BYTES", [call.name.encode()])
        message = Infer(target.model, "", (cancel,)).grpc()
        try:
            async for _ in self._triton.ModelStreamInfer(iter([message]), timeout=SILENCE):
                pass
        except grpc.RpcError as error:
            log("cancel", request_id=call.request_id, error=error.details())


def _tensors(request: Request) -> list[Tensor]:
    values = {name: [getattr(request, name.lower())] for name in INPUTS}
    values |= {"PROMPT": [request.prompt.encode()], "REFERENCES": list(request.references)}
    return [Tensor(k, INPUTS[k], values[k]) for k in INPUTS if values[k] != [None]]


async def _answers(stream: Any) -> AsyncGenerator[wire.Outputs]:
    """Answers of a version, until it ends or is found dead."""
    process = 0
    asked = time.monotonic()
    reading = asyncio.ensure_future(stream.read())
    try:
        while True:
            done, _ = await asyncio.wait({reading}, timeout=WATCH)
            if not done:
                silent = not process and time.monotonic() - asked > SILENCE
                if silent or (process and not alive(process)):
                    raise unavailable("the version that was painting died")
                continue
            answer = reading.result()
            if answer is grpc.aio.EOF:
                return
            if answer.error_message:
                raise _failure("UNKNOWN", answer.error_message)
            found = wire.from_grpc(answer.infer_response)
            process = found.get("PROCESS", [process])[0]
            yield found
            reading = asyncio.ensure_future(stream.read())
    except grpc.RpcError as error:
        raise _failure(error.code().name, error.details() or "") from error
    finally:
        reading.cancel()


def _failure(code: str, details: str) -> UmoError:
    if any(phrase in details for phrase in LOST):
        return unavailable("the version that answers is being started")
    return from_grpc(code, details)
