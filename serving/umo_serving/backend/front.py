"""The endpoints `umo` and `umo_stream`: check a call, choose the version, pass its answer on.

The first answers once, the second after each denoising step. Both return from `execute` at once and
answer from a thread of their own, so that calls wait for the painting and not for each other.

A version whose process dies takes its answers with it: Triton lets whoever asked it wait for ever.
So a version begins with the id of its process, and a watcher ends the calls of a dead one.
"""

import itertools
import json
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import triton_python_backend_utils as triton

from umo.errors import UmoError
from umo_serving.backend import tensors
from umo_serving.backend.call import Call
from umo_serving.backend.journal import Metrics, log
from umo_serving.failures import FAILED, kind_of, parse, unavailable
from umo_serving.processes import alive
from umo_serving.replies import Replies
from umo_serving.request import PROBE, CancelledError, Reply
from umo_serving.routes import Routes, Target, Watched

QUEUE = 64
"""Most calls in hand; more are told to try again."""
STREAM_WATCH = 0.01
"""Seconds between two looks at the calls of streams, so that a cancelled one stops in a step."""
UNARY_WATCH = 0.1
"""The same for callers who wait for one answer."""
SILENCE = 30.0
"""Seconds after which a version that did not say which process it is counts as dead."""
MEASURED = 50
"""One in so many calls is measured for the identity score, and every call during a trial."""
STEP_OUTPUTS = ["STEP", "STEPS", "PREVIEWS"]
OUTPUTS = ["PICTURES", "SEED", "MODEL_VERSION", "MODEL_DIGEST", "MATCHES"]


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
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="watcher", daemon=True).start()

    def execute(self, requests: list[Any]) -> None:
        """Take requests; their answers come from other threads."""
        for request in requests:
            call = Call(
                request_id=request.request_id() or str(uuid.uuid4()),
                repeatable=bool(request.request_id()) and not self._stream,
                sender=request.get_response_sender(),
            )
            with self._lock:
                full = len(self._calls) >= QUEUE
                self._calls.add(call)
                self._metrics.waiting(len(self._calls))
            if full:
                self._end(call, unavailable(f"{QUEUE} calls are waiting already"))
            else:
                # Not of a pool: the thread of a call to a dead version never comes back.
                threading.Thread(target=self._serve, args=(call, request), daemon=True).start()

    def finalize(self) -> None:
        """End, as Triton calls it, after the last answer."""
        self._closed.set()

    def _serve(self, call: Call, incoming: Any) -> None:
        try:
            call.request = tensors.read(incoming, seed=call.seed)
            call.request.check()
            outcome: Reply | Exception = self._earlier(call) or self._paint(call)
        except Exception as error:
            outcome = error
        self._end(call, outcome)

    def _earlier(self, call: Call) -> Reply | None:
        """The answer of the same call that came before, if there was one."""
        while call.repeatable and call.request:
            reply, call.owner = self._replies.claim(call.request_id, call.request)
            if call.owner:
                break
            try:
                return reply.result()
            except CancelledError:
                continue
        return None

    def _paint(self, call: Call) -> Reply:
        assert call.request
        routes = self._routes.current()
        call.target = routes.choose(call.request_id)
        measured = self._measured(call, routes)
        asked = replace(call.request, matches=call.request.matches or measured)
        reply = None
        for outputs in self._ask(call, call.target, tensors.write(asked)):
            if "PROCESS" in outputs:
                call.process = int(outputs["PROCESS"][0])
            elif "FAILURE" in outputs:
                raise parse(outputs["FAILURE"][0].decode())
            elif "PICTURES" in outputs:
                reply = tensors.read_reply(outputs)
            else:
                call.sender.send(triton.InferenceResponse(tensors.passed_on(outputs)))
        if reply is None:
            raise unavailable("the version that was painting is gone")
        if measured:
            for picture in reply.matches:
                self._metrics.score(reply.version, picture["score"])
        return reply if call.request.matches else replace(reply, matches=[])

    def _measured(self, call: Call, routes: Routes) -> bool:
        if call.request_id.startswith(PROBE):
            return False
        return bool(routes.challenger) or next(self._numbers) % MEASURED == 0

    def _ask(self, call: Call, target: Target, inputs: list[Any]) -> Iterator[dict[str, Any]]:
        """Answers of a version, as flat arrays by name."""
        call.asked = time.monotonic()
        request = triton.InferenceRequest(
            model_name=target.model,
            request_id=call.name,
            inputs=[*inputs, tensors.flag("STREAM", self._stream)],
            requested_output_names=["PROCESS", *STEP_OUTPUTS, *OUTPUTS, "FAILURE"],
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
        """End the calls of dead versions, and tell a version when a caller went away."""
        while not self._closed.wait(STREAM_WATCH if self._stream else UNARY_WATCH):
            with self._lock:
                asked = [call for call in self._calls if call.target and call.asked]
            for call in asked:
                silent = not call.process and time.monotonic() - call.asked > SILENCE
                if silent or (call.process and not alive(call.process)):
                    self._end(call, unavailable("the version that was painting died"))
                elif not call.abandoned and call.sender.is_cancelled():
                    call.abandoned = True
                    self._tell(call)

    def _tell(self, call: Call) -> None:
        assert call.target
        stop = triton.InferenceRequest(
            model_name=call.target.model,
            inputs=[tensors.texts("CANCEL", [call.name.encode()])],
            requested_output_names=["PROCESS"],
        )
        try:
            for _ in stop.exec(decoupled=True):
                pass
        except triton.TritonModelException as error:
            log("cancel", request_id=call.request_id, error=str(error))

    def _end(self, call: Call, outcome: Reply | Exception) -> None:
        """Answer a call, once."""
        with self._lock:
            if call not in self._calls:
                return
            self._calls.remove(call)
            self._metrics.waiting(len(self._calls))
        if call.owner:
            self._replies.settle(call.request_id, outcome)
        if isinstance(outcome, Reply):
            kind, version = "ok", outcome.version
            response = triton.InferenceResponse(tensors.write_reply(outcome))
        else:
            kind, version = kind_of(outcome), call.target.version if call.target else ""
            response = tensors.failure(outcome, call.request_id)
        tensors.answer(call.sender, response)
        if not call.request_id.startswith(PROBE):
            self._metrics.ended(version, kind, call.seconds)
            facts = call.facts(outcome)
            log("call", endpoint=self._endpoint, outcome=kind, version=version, **facts)


def _translated(message: str) -> UmoError:
    """The error behind what a version, or Triton in its place, says."""
    error = parse(message)
    if kind_of(error) == FAILED and ("Stub process" in message or "not ready" in message):
        return unavailable("the version that answers is being started again")
    return error
