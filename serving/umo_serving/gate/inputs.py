"""The tensors of a call, whichever protocol brought them: checked, and read as a request."""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import Any

from umo.errors import UsageError
from umo_serving.client.wire import INPUTS, Infer, Tensor
from umo_serving.request import Request

REQUIRED = ("PROMPT", "REFERENCES")
LIST = "REFERENCES"
"""The input that may have any number of values; the others have one."""
ID_LENGTH = 256


def tensor(name: object, datatype: object, shape: object, values: list[Any]) -> Tensor:
    """One input.

    Raises:
        UsageError: It is unknown, or its type, shape and values do not fit.
    """
    known = datatype_of(name)
    if datatype != known:
        raise UsageError(f"{name} is {str(datatype)[:40]!r}, not {known}")
    if shape != [len(values)]:
        raise UsageError(f"{name} has {len(values)} values, its shape is {str(shape)[:40]}")
    if name != LIST and len(values) != 1:
        raise UsageError(f"{name} has {len(values)} values, not 1")
    return Tensor(str(name), known, values)


def datatype_of(name: object) -> Any:
    """Type of an input.

    Raises:
        UsageError: There is no such input.
    """
    if not isinstance(name, str) or name not in INPUTS:
        raise UsageError(
            f"there is no input {str(name)[:40]!r}", hint=f"known: {', '.join(INPUTS)}"
        )
    return INPUTS[name]


def call(model: str, request_id: object, tensors: Iterable[Tensor]) -> Infer:
    """A whole call.

    Raises:
        UsageError: An input is missing or there twice, or the id is no short text.
    """
    if not isinstance(request_id, str) or len(request_id) > ID_LENGTH:
        raise UsageError(f"the id is no text of at most {ID_LENGTH} characters")
    found: dict[str, Tensor] = {}
    for one in tensors:
        if one.name in found:
            raise UsageError(f"the input {one.name} is given twice")
        found[one.name] = one
    for name in REQUIRED:
        if name not in found:
            raise UsageError(f"the input {name} is missing")
    return Infer(model, request_id, tuple(found.values()))


def request(infer: Infer, request_id: str) -> Request:
    """What a call asks for; without a seed it gets one that a repeated call gets again.

    Args:
        infer: The call; references may be base64, for callers that speak JSON only.
        request_id: Its name.

    Raises:
        UsageError: A value is outside its limits; the line names both.
    """
    values = {one.name: one.values for one in infer.inputs}
    try:
        prompt = values.pop("PROMPT")[0].decode()
    except UnicodeDecodeError:
        raise UsageError("the prompt is no UTF-8") from None
    references = [_decoded(one) for one in values.pop("REFERENCES")]
    drawn = int.from_bytes(hashlib.sha256(request_id.encode()).digest()[:4])
    options = {"seed": drawn, **{name.lower(): value[0] for name, value in values.items()}}
    made = Request(prompt=prompt, references=references, **options)
    made.check()
    return made


def _decoded(reference: bytes) -> bytes:
    try:
        return base64.b64decode(reference, validate=True)
    except binascii.Error:
        return reference
