"""KServe v2 inference calls as bytes: one list of tensors for gRPC messages and HTTP bodies.

The HTTP form is the binary tensor extension: a JSON header, then the tensors in its order; the
header `Inference-Header-Content-Length` says where the JSON ends.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tritonclient.grpc import service_pb2

from umo.errors import UmoError

Datatype = Literal["BOOL", "INT32", "INT64", "FP32", "BYTES"]
Outputs = dict[str, list[Any]]
"""Flat values of every output by name; BYTES are `bytes`."""

INPUTS: dict[str, Datatype] = {
    "PROMPT": "BYTES",
    "REFERENCES": "BYTES",
    "SEED": "INT64",
    "STEPS": "INT32",
    "GUIDANCE": "FP32",
    "WIDTH": "INT32",
    "HEIGHT": "INT32",
    "IMAGES": "INT32",
    "MATCHES": "BOOL",
}
"""What the endpoints take; prompt and references must be there."""

HEADER_LENGTH = "Inference-Header-Content-Length"
FORMATS: dict[str, str] = {"BOOL": "?", "INT32": "i", "INT64": "q", "FP32": "f"}
"""Format of a number in `struct`."""


@dataclass(frozen=True)
class Tensor:
    """A one-dimensional input."""

    name: str
    datatype: Datatype
    values: Sequence[Any]

    def raw(self) -> bytes:
        """Its values as the protocol packs them: little endian, strings after their length."""
        if self.datatype == "BYTES":
            return b"".join(struct.pack("<I", len(value)) + value for value in self.values)
        return struct.pack(f"<{len(self.values)}{FORMATS[self.datatype]}", *self.values)


@dataclass(frozen=True)
class Infer:
    """One inference call."""

    model: str
    request_id: str
    inputs: tuple[Tensor, ...]
    trace: Mapping[str, str] = field(default_factory=dict)
    """Headers that carry the trace that it is part of, see `umo_serving.trace`."""

    @property
    def path(self) -> str:
        """Path of its HTTP address."""
        return f"/v2/models/{self.model}/infer"

    def http(self) -> tuple[bytes, dict[str, str]]:
        """Body and headers of a POST to `path`."""
        tails = [tensor.raw() for tensor in self.inputs]
        header = {
            "id": self.request_id,
            "parameters": {"binary_data_output": True},
            "inputs": [
                {
                    "name": tensor.name,
                    "datatype": tensor.datatype,
                    "shape": [len(tensor.values)],
                    "parameters": {"binary_data_size": len(tail)},
                }
                for tensor, tail in zip(self.inputs, tails, strict=True)
            ],
        }
        start = json.dumps(header).encode()
        headers = {"content-type": "application/octet-stream", HEADER_LENGTH: str(len(start))}
        return start + b"".join(tails), headers

    def grpc(self) -> Any:
        """The `ModelInferRequest`."""
        return service_pb2.ModelInferRequest(
            model_name=self.model,
            id=self.request_id,
            inputs=[
                service_pb2.ModelInferRequest.InferInputTensor(
                    name=tensor.name, datatype=tensor.datatype, shape=[len(tensor.values)]
                )
                for tensor in self.inputs
            ],
            raw_input_contents=[tensor.raw() for tensor in self.inputs],
        )


def from_http(body: bytes, headers: Mapping[str, str]) -> Outputs:
    """Outputs of an answer over HTTP.

    Raises:
        UmoError: It is not an answer of KServe v2.
    """
    try:
        end = int(headers.get(HEADER_LENGTH, len(body)))
        outputs: Outputs = {}
        for output in json.loads(body[:end])["outputs"]:
            size = output.get("parameters", {}).get("binary_data_size")
            if size is None:
                outputs[output["name"]] = output["data"]
            else:
                outputs[output["name"]] = unpack(output["datatype"], body[end : end + size])
                end += size
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise unreadable(error) from error
    return outputs


def from_grpc(response: Any) -> Outputs:
    """Outputs of a `ModelInferResponse`.

    Raises:
        UmoError: A tensor is cut off or of an unknown type.
    """
    try:
        return {
            output.name: unpack(output.datatype, raw)
            for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
        }
    except (ValueError, KeyError, struct.error) as error:
        raise unreadable(error) from error


def unpack(datatype: str, raw: bytes) -> list[Any]:
    """Values of a packed tensor.

    Raises:
        KeyError: The type is none of ours.
        ValueError, struct.error: The bytes do not fit the type.
    """
    if datatype != "BYTES":
        return [value for (value,) in struct.iter_unpack(f"<{FORMATS[datatype]}", raw)]
    values = []
    position = 0
    while position < len(raw):
        (length,) = struct.unpack_from("<I", raw, position)
        position += 4
        if position + length > len(raw):
            raise ValueError(f"a string of {length} bytes in {len(raw) - position}")
        values.append(raw[position : position + length])
        position += length
    return values


def unreadable(error: Exception) -> UmoError:
    """The error when an answer is not what this client knows."""
    return UmoError(f"the server's answer cannot be read: {error!r}", hint="is it a umo server?")
