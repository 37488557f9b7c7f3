"""Triton's tensors from and to requests and replies."""

import base64
import binascii
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as triton

from umo.errors import UsageError
from umo_serving.failures import describe, kind_of
from umo_serving.request import Progress, Reply, Request

OPTIONS = {
    "SEED": ("seed", np.int64),
    "STEPS": ("steps", np.int32),
    "GUIDANCE": ("guidance", np.float32),
    "WIDTH": ("width", np.int32),
    "HEIGHT": ("height", np.int32),
    "IMAGES": ("images", np.int32),
    "MATCHES": ("matches", np.bool_),
}
"""Inputs that may be left out, with their field of a `Request` and their type."""
CODES = {
    "usage": "INVALID_ARG",
    "not-found": "NOT_FOUND",
    "denied": "INVALID_ARG",
    "differs": "ALREADY_EXISTS",
    "unavailable": "UNAVAILABLE",
    "cancelled": "CANCELLED",
    "failed": "INTERNAL",
}
"""Names of Triton's error codes; the backend fills its module only after it has read the model."""


def read(request: Any, **defaults: Any) -> Request:
    """The request of a Triton request; references may be base64, for callers that speak JSON only.

    Args:
        request: `InferenceRequest`.
        defaults: Fields of the request that are used where the input is left out.

    Raises:
        UsageError: Prompt or references are missing, or the prompt is no UTF-8.
    """
    given = {tensor.name(): tensor.as_numpy().ravel() for tensor in request.inputs()}
    missing = sorted({"PROMPT", "REFERENCES"} - given.keys())
    if missing:
        raise UsageError(f"the input {missing[0]} is missing")
    try:
        prompt = bytes(given["PROMPT"][0]).decode()
    except UnicodeDecodeError:
        raise UsageError("the prompt is no UTF-8") from None
    options = {
        field: given[name][0].item() for name, (field, _) in OPTIONS.items() if name in given
    }
    references = [_decoded(bytes(reference)) for reference in given["REFERENCES"]]
    return Request(prompt=prompt, references=references, **{**defaults, **options})


def write(request: Request) -> list[Any]:
    """Input tensors of a request."""
    inputs = [
        texts("PROMPT", [request.prompt.encode()]),
        texts("REFERENCES", request.references),
    ]
    for name, (field, kind) in OPTIONS.items():
        value = getattr(request, field)
        if value is not None:
            inputs.append(triton.Tensor(name, np.array([value], kind)))
    return inputs


def read_reply(outputs: dict[str, Any]) -> Reply:
    """The reply that `write_reply` wrote, from flat arrays by name."""
    return Reply(
        pngs=[bytes(png) for png in outputs["PICTURES"]],
        seeds=[int(seed) for seed in outputs["SEED"]],
        version=outputs["MODEL_VERSION"][0].decode(),
        digest=outputs["MODEL_DIGEST"][0].decode(),
        matches=json.loads(outputs["MATCHES"][0]),
    )


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

    Triton 2.51 loses an error that a model sends to another model after other responses, and the
    other waits for ever; as an output it arrives.
    """
    return [texts("FAILURE", [describe(error, request_id).encode()])]


def failure(error: BaseException, request_id: str) -> Any:
    """The response that tells a caller of an error."""
    code = getattr(triton.TritonError, CODES[kind_of(error)])
    return triton.InferenceResponse(error=triton.TritonError(describe(error, request_id), code))


def answer(sender: Any, response: Any) -> None:
    """Send the last response of a call."""
    sender.send(response, flags=triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def passed_on(outputs: Mapping[str, Any]) -> list[Any]:
    """Output tensors of arrays by name, as they came."""
    return [triton.Tensor(name, values) for name, values in outputs.items()]


def flag(name: str, value: bool) -> Any:
    """A tensor of one truth value."""
    return triton.Tensor(name, np.array([value]))


def texts(name: str, values: Sequence[bytes]) -> Any:
    """A tensor of byte strings."""
    return triton.Tensor(name, np.array(list(values), np.object_))


def _decoded(reference: bytes) -> bytes:
    try:
        return base64.b64decode(reference, validate=True)
    except binascii.Error:
        return reference
