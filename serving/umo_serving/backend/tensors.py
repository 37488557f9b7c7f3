"""Triton's tensors from and to requests and replies."""

import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as triton

from umo_serving.failures import describe
from umo_serving.request import Progress, Reply, Request


def read(request: Any) -> Request:
    """The request of a Triton request, which the gate checked.

    Args:
        request: `InferenceRequest`.
    """
    given = {tensor.name(): tensor.as_numpy().ravel() for tensor in request.inputs()}
    options = {
        name.lower(): values[0].item()
        for name, values in given.items()
        if name not in ("PROMPT", "REFERENCES", "STREAM")
    }
    references = [bytes(reference) for reference in given["REFERENCES"]]
    return Request(prompt=given["PROMPT"][0].decode(), references=references, **options)


def trace(request: Any) -> dict[str, str]:
    """Headers that carry the trace that a Triton request is part of."""
    headers: dict[str, str] = json.loads(request.parameters())
    return headers


def write_reply(reply: Reply) -> list[Any]:
    """Output tensors of a reply."""
    return [
        texts("PICTURES", reply.pngs),
        triton.Tensor("SEED", np.array(reply.seeds, np.int64)),
        texts("MODEL_VERSION", [reply.version.encode()]),
        texts("MODEL_DIGEST", [reply.digest.encode()]),
        texts("MATCHES", [json.dumps(reply.matches).encode()]),
    ]


def write_progress(progress: Progress, previews: Sequence[bytes]) -> list[Any]:
    """Output tensors of a step."""
    return [
        triton.Tensor("STEP", np.array([progress.step], np.int32)),
        triton.Tensor("STEPS", np.array([progress.steps], np.int32)),
        texts("PREVIEWS", previews),
    ]


def write_process() -> list[Any]:
    """Output tensor that says which process answers."""
    return [triton.Tensor("PROCESS", np.array([os.getpid()], np.int32))]


def write_failure(error: BaseException, request_id: str) -> list[Any]:
    """Output tensors of a version that failed.

    Triton 2.51 loses an error that follows other responses; as an output it arrives.
    """
    return [texts("FAILURE", [describe(error, request_id).encode()])]


def answer(sender: Any, response: Any) -> None:
    """Send the last response of a call."""
    sender.send(response, flags=triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def texts(name: str, values: Sequence[bytes]) -> Any:
    """A tensor of byte strings."""
    return triton.Tensor(name, np.array(list(values), np.object_))
