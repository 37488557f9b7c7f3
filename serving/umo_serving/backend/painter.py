"""One version of the model: the engine, with Triton's tensors around it.

In Triton 2.51, `is_cancelled()` of a sender corrupts this process when several calls run, and an
error sent as an error after other answers is lost. So the gate says when a call is unwanted, and an
error is an output.
"""

import json
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import triton_python_backend_utils as triton

from umo.errors import UmoError
from umo_serving.backend import tensors
from umo_serving.engine import Engine
from umo_serving.journal import log
from umo_serving.request import Progress, Reply
from umo_serving.trace import exported, span

CALLS = 64
"""Most calls at a time; the endpoints ask no more."""
PREVIEWS = 4
"""About so many of a call's steps come with a preview."""


class Painter:
    """A decoupled Triton model: steps if `STREAM`, then the pictures; `CANCEL` stops a call."""

    def initialize(self, args: dict[str, str]) -> None:
        """Verify and load the version, as Triton calls it."""
        folder = Path(args["model_repository"])
        facts = json.loads((folder / "served.json").read_text(encoding="utf-8"))
        self._engine = Engine.load(folder / "model", **facts)
        self._cancelled: dict[str, threading.Event] = {}
        self._pool = ThreadPoolExecutor(CALLS, thread_name_prefix="call")
        self._ending = ExitStack()
        self._ending.enter_context(exported("umo-model"))
        log("loaded", version=self._engine.version, digest=self._engine.digest)

    def execute(self, requests: list[Any]) -> None:
        """Take requests; their answers come from other threads."""
        for request in requests:
            name, sender = request.request_id(), request.get_response_sender()
            unwanted = triton.get_input_tensor_by_name(request, "CANCEL")
            if unwanted is not None:
                if event := self._cancelled.get(unwanted.as_numpy()[0].decode()):
                    event.set()
                sender.send(flags=triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
            else:
                self._cancelled[name] = threading.Event()
                sender.send(triton.InferenceResponse(tensors.write_process()))
                self._pool.submit(self._paint, name, request, sender)

    def finalize(self) -> None:
        """End, as Triton calls it, after the last answer."""
        self._pool.shutdown()
        self._engine.close()
        self._ending.close()

    def _paint(self, name: str, incoming: Any, sender: Any) -> None:
        try:
            outputs = tensors.write_reply(self._generate(name, incoming, sender))
        except Exception as error:
            outputs = tensors.write_failure(error, name)
            if not isinstance(error, UmoError):
                log("failed", call=name, error=traceback.format_exc())
        del self._cancelled[name]
        tensors.answer(sender, triton.InferenceResponse(outputs))

    def _generate(self, name: str, incoming: Any, sender: Any) -> Reply:
        streamed = triton.get_input_tensor_by_name(incoming, "STREAM")
        report = _reporter(sender) if streamed is not None and streamed.as_numpy()[0] else None
        version, digest = self._engine.version, self._engine.digest
        with span("umo.paint", parent=tensors.trace(incoming), version=version, digest=digest):
            return self._engine.generate(
                tensors.read(incoming), on_step=report, cancelled=self._cancelled[name].is_set
            )


def _reporter(sender: Any) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        every = -(-progress.steps // PREVIEWS)
        wanted = progress.step % every == 0 and progress.step < progress.steps
        previews = progress.preview() if wanted else []
        sender.send(triton.InferenceResponse(tensors.write_progress(progress, previews)))

    return report
