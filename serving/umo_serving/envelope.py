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
from umo_serving.client.wire import FORMATS, HEADER_LENGTH, INPUTS, Infer, Tensor, unpack

OUTPUTS = ("PICTURES", "SEED", "MODEL_VERSION", "MODEL_DIGEST", "MATCHES")
REQUIRED = ("PROMPT", "REFERENCES")
PICTURES = frozenset({"PICTURES"})
"""Outputs that are no text."""
ID_LENGTH = 256
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
    request_id = plain.get("id", "")
    if not isinstance(request_id, str) or len(request_id) > ID_LENGTH:
        raise UsageError(f"the id is no text of at most {ID_LENGTH} characters")
    tensors: dict[str, Tensor] = {}
    for entry in _entries("inputs", plain.get("inputs")):
        tensor, end = _tensor(entry, body, end)
        if tensor.name in tensors:
            raise UsageError(f"the input {tensor.name} is given twice")
        tensors[tensor.name] = tensor
    if end != len(body):
        raise UsageError(f"{len(body) - end} bytes follow the last input")
    for name in REQUIRED:
        if name not in tensors:
            raise UsageError(f"the input {name} is missing")
    return Envelope(infer=Infer(model, request_id, tuple(tensors.values())), binary=_binary(plain))


def write(response: Any, envelope: Envelope) -> tuple[bytes, dict[str, str]]:
    """Body and headers of an answer.

    Args:
        response: The `ModelInferResponse`.
        envelope: The call.
    """
    outputs, tails = [], []
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        if output.name not in envelope.binary:
            continue
        plain = {
            "name": output.name,
            "datatype": output.datatype,
            "shape": list(output.shape),
        }
        if envelope.binary[output.name]:
            plain["parameters"] = {"binary_data_size": len(raw)}
            tails.append(raw)
        else:
            values = unpack(output.datatype, raw)
            plain["data"] = [_text(output.name, value) for value in values]
        outputs.append(plain)
    answer = {
        "model_name": response.model_name,
        "model_version": response.model_version,
        "id": response.id,
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
    if name not in INPUTS:
        raise UsageError(
            f"there is no input {str(name)[:40]!r}", hint=f"known: {', '.join(INPUTS)}"
        )
    _refuse_unknown(name, entry, ("name", "datatype", "shape", "data", "parameters"))
    datatype = INPUTS[name]
    if entry.get("datatype") != datatype:
        raise UsageError(f"{name} is {str(entry.get('datatype'))[:40]}, not {datatype}")
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
        values = [_value(name, datatype, item) for item in _flat(name, entry.get("data"))]
    if entry.get("shape") != [len(values)]:
        raise UsageError(
            f"{name} has {len(values)} values, its shape is {str(entry.get('shape'))[:40]}"
        )
    if name != "REFERENCES" and len(values) != 1:
        raise UsageError(f"{name} has {len(values)} values, not 1")
    return Tensor(name, datatype, values), end


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


def _flat(name: str, data: object, depth: int = DEPTH) -> Iterator[object]:
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
