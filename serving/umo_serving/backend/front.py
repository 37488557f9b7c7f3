"""The endpoints `umo` and `umo_stream`: check a call, choose the version, pass its answer on.

The first answers once, the second after each denoising step. Both return from `execute` at once and
answer from a thread of their own, so that calls wait for the painting and not for each other.
"""

import hashlib
import itertools
import json
import threading
import time
import traceback
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import triton_python_backend_utils as triton

from umo.errors import UmoError
from umo_serving.backend import tensors
from umo_serving.backend.journal import Metrics, log
from umo_serving.failures import FAILED, kind_of, parse, unavailable
from umo_serving.replies import Replies
from umo_serving.request import PROBE, CancelledError, Reply, Request
from umo_serving.routes import Routes, Target, Watched

QUEUE = 64
"""Most calls in hand; more are told to try again."""
STREAM_WATCH = 0.01
"""Seconds between two looks whether the caller of a stream is still there."""
UNARY_WATCH = 0.25
"""The same for a caller who waits for one answer."""
MEASURED = 50
"""One in so many calls is measured for the identity score, and every call during a trial."""
STEP_OUTPUTS = ["STEP", "STEPS", "PREVIEWS"]
OUTPUTS = ["PICTURES", "SEED", "MODEL_VERSION", "MODEL_DIGEST", "MATCHES"]


@dataclass(eq=False, kw_only=True)
class Call:
    """One call in hand."""

    request_id: str
    """What the caller named it, or a name of ours."""
    repeatable: bool
    """Whether the caller named it."""
    sender: Any
    """Triton's response sender."""
    since: float = field(default_factory=time.monotonic)
    """When it came."""
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    """What the version calls it; unlike the request id it is never given twice."""
    request: Request | None = None
    """What is asked for, once it is read."""
    target: Target | None = None
    """Who answers, once it is chosen."""

    abandoned: bool = False
    """Whether the caller went away."""

    @property
    def seed(self) -> int:
        """The seed of a caller who gives none: a repeated call has the same."""
        return int.from_bytes(hashlib.sha256(self.request_id.encode()).digest()[:4])


class Front:
    """A Triton model that paints nothing itself."""

    def initialize(self, args: dict[str, str]) -> None:
        """Start, as Triton calls it."""
        self._endpoint = args["model_name"]
        self._stream = triton.using_decoupled_model_transaction_policy(
            json.loads(args["model_config"])
        )
        self._routes = Watched(Path(args["model_repository"]).parent)
        self._metrics = Metrics(self._endpoint)
        self._replies = Replies()
        self._calls: set[Call] = set()
        self._numbers = itertools.count()
        self._pool = ThreadPoolExecutor(QUEUE, thread_name_prefix="call")
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="watcher", daemon=True).start()

    def execute(self, requests: list[Any]) -> None:
        """Take requests; their answers come from other threads."""
        for request in requests:
            call = Call(
                request_id=request.request_id() or str(uuid.uuid4()),
                repeatable=bool(request.request_id()),
                sender=request.get_response_sender(),
            )
            if len(self._calls) >= QUEUE:
                self._end(call, unavailable(f"{QUEUE} calls are waiting already"))
            else:
                self._calls.add(call)
                self._metrics.waiting(len(self._calls))
                self._pool.submit(self._serve, call, request)

    def finalize(self) -> None:
        """End, as Triton calls it, after the last answer."""
        self._closed.set()
        self._pool.shutdown()

    def _serve(self, call: Call, incoming: Any) -> None:
        try:
            call.request = tensors.read(incoming, seed=call.seed)
            call.request.check()
            outcome: Reply | Exception = (
                self._once(call, call.request)
                if call.repeatable and not self._stream
                else self._paint(call, call.request)
            )
        except Exception as error:
            outcome = error
        self._calls.discard(call)
        self._metrics.waiting(len(self._calls))
        self._end(call, outcome)

    def _once(self, call: Call, request: Request) -> Reply:
        """Paint a call, or wait for the same call that came before."""
        while True:
            reply, ours = self._replies.claim(call.request_id, request)
            if not ours:
                try:
                    return reply.result()
                except CancelledError:
                    continue
            try:
                painted = self._paint(call, request)
            except Exception as error:
                self._replies.settle(call.request_id, error)
                raise
            self._replies.settle(call.request_id, painted)
            return painted

    def _paint(self, call: Call, request: Request) -> Reply:
        routes = self._routes.current()
        call.target = routes.choose(call.request_id)
        measured = self._measured(call, routes)
        asked = replace(request, matches=request.matches or measured)
        reply = None
        for outputs in self._ask(call, tensors.write(asked)):
            if "PICTURES" in outputs:
                reply = tensors.read_reply(outputs)
            else:
                call.sender.send(triton.InferenceResponse(tensors.passed_on(outputs)))
        if reply is None:
            raise unavailable("the version that was painting is gone")
        if measured:
            for picture in reply.matches:
                self._metrics.score(reply.version, picture["score"])
        return reply if request.matches else replace(reply, matches=[])

    def _measured(self, call: Call, routes: Routes) -> bool:
        if call.request_id.startswith(PROBE):
            return False
        return bool(routes.challenger) or next(self._numbers) % MEASURED == 0

    def _ask(self, call: Call, inputs: list[Any]) -> Iterator[dict[str, Any]]:
        """Answers of the version, as flat arrays by name."""
        assert call.target
        request = triton.InferenceRequest(
            model_name=call.target.model,
            request_id=call.name,
            inputs=[*inputs, tensors.flag("STREAM", self._stream)],
            requested_output_names=[*STEP_OUTPUTS, *OUTPUTS],
        )
        try:
            for response in request.exec(decoupled=True):
                if response.has_error():
                    raise _translated(response.error().message())
                outputs = {
                    tensor.name(): tensor.as_numpy().ravel() for tensor in response.output_tensors()
                }
                if outputs:
                    yield outputs
        except triton.TritonModelException as error:
            raise _translated(str(error)) from error

    def _watch(self) -> None:
        """Tell a version when the caller of one of its calls went away."""
        while not self._closed.wait(STREAM_WATCH if self._stream else UNARY_WATCH):
            for call in list(self._calls):
                if call.target and not call.abandoned and call.sender.is_cancelled():
                    call.abandoned = True
                    self._tell(call, call.target)

    def _tell(self, call: Call, target: Target) -> None:
        stop = triton.InferenceRequest(
            model_name=target.model,
            request_id=call.name,
            inputs=[tensors.flag("CANCEL", True)],
            requested_output_names=OUTPUTS,
        )
        try:
            for _ in stop.exec(decoupled=True):
                pass
        except triton.TritonModelException as error:
            log("cancel", request_id=call.request_id, error=str(error))

    def _end(self, call: Call, outcome: Reply | Exception) -> None:
        seconds = time.monotonic() - call.since
        version = call.target.version if call.target else ""
        if isinstance(outcome, Reply):
            result, version = "ok", outcome.version
            response = triton.InferenceResponse(tensors.write_reply(outcome))
        else:
            result = kind_of(outcome)
            response = tensors.failure(outcome, call.request_id)
        tensors.answer(call.sender, response)
        if call.request_id.startswith(PROBE):
            return
        self._metrics.ended(version, result, seconds)
        facts: dict[str, Any] = {
            "endpoint": self._endpoint,
            "request_id": call.request_id,
            "outcome": result,
            "seconds": round(seconds, 3),
            "version": version,
        }
        if call.request:
            facts |= {
                "references": len(call.request.references),
                "images": call.request.images,
                "steps": call.request.steps,
            }
        if isinstance(outcome, UmoError):
            facts["error"] = str(outcome)
        elif isinstance(outcome, Exception):
            facts["error"] = "".join(traceback.format_exception(outcome))
        log("call", **facts)


def _translated(message: str) -> UmoError:
    """The error behind what a version, or Triton in its place, says."""
    error = parse(message)
    if kind_of(error) == FAILED and ("Stub process" in message or "not ready" in message):
        return unavailable("the version that answers is being started again")
    return error
