"""KServe v2 over HTTP as a server reads and writes it: a call and its answer around tensors.

A body is JSON; tensors may follow it as bytes, see `umo_serving.client.wire`. Where an answer is
plain JSON, pictures are base64.
"""

import base64
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from umo.errors import UsageError
from umo_serving.client.wire import FORMATS, HEADER_LENGTH, Infer, Tensor, unpack
from umo_serving.gate import inputs
from umo_serving.gate.outputs import OUTPUTS

PICTURES = frozenset({"PICTURES"})
"""Outputs that are no text."""
FIELDS = ("name", "datatype", "shape", "data", "parameters")
DEPTH = 4
"""Lists within lists of a tensor's data."""


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """A call that came over HTTP."""

    infer: Infer
    """The call."""
    binary: Mapping[str, bool]
    """Outputs asked for, and whether they go as bytes."""


def read(model: str, body: bytes, header_length: str | None) -> Envelope:
    """Read a call.

    Args:
        model: Name of the model, from the address.
        body: The body.
        header_length: The header that says where its JSON ends, if there is one.

    Raises:
        UsageError: It is not a well-formed call; the line says what is wrong.
    """
    end = len(body) if header_length is None else _whole("the length of the JSON", header_length)
    if end > len(body):
        raise UsageError(f"the JSON has {end} bytes, the body {len(body)}")
    plain = _json(body[:end])
    _refuse_unknown("the call", plain, ("id", "parameters", "inputs", "outputs"))
    tensors = []
    for entry in _entries("inputs", plain.get("inputs")):
        tensor, end = _tensor(entry, body, end)
        tensors.append(tensor)
    if end != len(body):
        raise UsageError(f"{len(body) - end} bytes follow the last input")
    return Envelope(infer=inputs.call(model, plain.get("id", ""), tensors), binary=_binary(plain))


def write(tensors: Sequence[Tensor], envelope: Envelope) -> tuple[bytes, dict[str, str]]:
    """Body and headers of an answer.

    Args:
        tensors: The outputs.
        envelope: The call.
    """
    outputs, tails = [], []
    for tensor in tensors:
        if tensor.name not in envelope.binary:
            continue
        plain: dict[str, Any] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": [len(tensor.values)],
        }
        if envelope.binary[tensor.name]:
            tails.append(tensor.raw())
            plain["parameters"] = {"binary_data_size": len(tails[-1])}
        else:
            plain["data"] = [_text(tensor.name, value) for value in tensor.values]
        outputs.append(plain)
    answer = {
        "model_name": envelope.infer.model,
        "model_version": "1",
        "id": envelope.infer.request_id,
        "outputs": outputs,
    }
    start = json.dumps(answer).encode()
    if not tails:
        return start, {"content-type": "application/json"}
    headers = {"content-type": "application/octet-stream", HEADER_LENGTH: str(len(start))}
    return start + b"".join(tails), headers


def _json(text: bytes) -> dict[str, Any]:
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError):
        raise UsageError("the body is no JSON") from None
    if not isinstance(plain, dict):
        raise UsageError(f"the body is a JSON {type(plain).__name__}, not an object")
    return plain


def _tensor(entry: Mapping[str, Any], body: bytes, start: int) -> tuple[Tensor, int]:
    """An input, and where the bytes of the next one begin."""
    name = entry.get("name")
    datatype = inputs.datatype_of(name)
    _refuse_unknown(f"the input {name}", entry, FIELDS)
    parameters = _object(f"the parameters of {name}", entry.get("parameters", {}))
    _refuse_unknown(f"the parameters of {name}", parameters, ("binary_data_size",))
    end = start
    if "binary_data_size" in parameters:
        end += _whole(f"binary_data_size of {name}", parameters["binary_data_size"])
        if end > len(body):
            raise UsageError(f"{name} ends {end - len(body)} bytes behind the body")
        try:
            values = unpack(datatype, body[start:end])
        except (ValueError, struct.error):
            raise UsageError(f"the bytes of {name} are no {datatype}") from None
    else:
        values = [_value(str(name), datatype, item) for item in _flat(name, entry.get("data"))]
    return inputs.tensor(name, entry.get("datatype"), entry.get("shape"), values), end


def _value(name: str, datatype: str, item: object) -> object:
    match datatype, item:
        case "BYTES", str():
            try:
                return item.encode()
            except UnicodeEncodeError:
                raise UsageError(f"{name} is no valid Unicode") from None
        case "BOOL", bool():
            return item
        case (("INT32" | "INT64"), int()) if not isinstance(item, bool):
            return _fitting(name, datatype, item)
        case "FP32", int() | float() if not isinstance(item, bool):
            return _fitting(name, datatype, item)
    raise UsageError(f"{name} is {json.dumps(item)[:40]}, not {datatype}")


def _fitting(name: str, datatype: str, number: float) -> float:
    try:
        struct.pack(f"<{FORMATS[datatype]}", number)
    except (struct.error, OverflowError):
        raise UsageError(f"{name} is too large for {datatype}") from None
    return number


def _flat(name: object, data: object, depth: int = DEPTH) -> Iterator[object]:
    if not isinstance(data, list) or not depth:
        raise UsageError(f"{name} has no list of data")
    for item in data:
        if isinstance(item, list):
            yield from _flat(name, item, depth - 1)
        else:
            yield item


def _binary(plain: Mapping[str, Any]) -> dict[str, bool]:
    parameters = _object("the parameters", plain.get("parameters", {}))
    _refuse_unknown("the parameters", parameters, ("binary_data_output",))
    usual = _flag("binary_data_output", parameters.get("binary_data_output", False))
    if "outputs" not in plain:
        return dict.fromkeys(OUTPUTS, usual)
    asked = {}
    for entry in _entries("outputs", plain["outputs"]):
        name = entry.get("name")
        if name not in OUTPUTS:
            raise UsageError(
                f"there is no output {str(name)[:40]!r}", hint=f"known: {', '.join(OUTPUTS)}"
            )
        _refuse_unknown(name, entry, ("name", "parameters"))
        own = _object(f"the parameters of {name}", entry.get("parameters", {}))
        _refuse_unknown(f"the parameters of {name}", own, ("binary_data",))
        asked[name] = _flag("binary_data", own.get("binary_data", usual))
    return asked


def _entries(name: str, value: object) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not value:
        raise UsageError(f"there is no list of {name}")
    return [_object(f"an entry of {name}", entry) for entry in value]


def _object(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{name} is no JSON object")
    return value


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{name} is neither true nor false")
    return value


def _whole(name: str, value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UsageError(f"{name} is no whole number")
    return value


def _refuse_unknown(name: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in given:
        if key not in known:
            raise UsageError(f"{name} has no {key[:40]!r}", hint=f"known: {', '.join(known)}")


def _text(name: str, value: object) -> object:
    if not isinstance(value, bytes):
        return value
    return (base64.b64encode(value) if name in PICTURES else value).decode()
