"""KServe v2 over gRPC as a server reads and writes it: a call and its answer around tensors."""

import struct
from collections.abc import Iterator, Sequence
from typing import Any

from tritonclient.grpc import service_pb2

from umo.errors import UsageError
from umo_serving.client.wire import Infer, Tensor, unpack
from umo_serving.gate import inputs

TYPED = {
    "BYTES": "bytes_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "BOOL": "bool_contents",
}
"""Where a tensor's values are when they are not packed."""


def read(message: Any) -> Infer:
    """The call of a `ModelInferRequest`.

    Raises:
        UsageError: It is not a well-formed call; the line says what is wrong.
    """
    return inputs.call(message.model_name, message.id, _tensors(message))


def write(tensors: Sequence[Tensor], *, model: str, request_id: str, last: bool) -> Any:
    """The `ModelInferResponse` of an answer."""
    response = service_pb2.ModelInferResponse(
        model_name=model,
        model_version="1",
        id=request_id,
        outputs=[
            service_pb2.ModelInferResponse.InferOutputTensor(
                name=tensor.name, datatype=tensor.datatype, shape=[len(tensor.values)]
            )
            for tensor in tensors
        ],
        raw_output_contents=[tensor.raw() for tensor in tensors],
    )
    response.parameters["triton_final_response"].bool_param = last
    return response


def _tensors(message: Any) -> Iterator[Tensor]:
    packed = list(message.raw_input_contents)
    if packed and len(packed) != len(message.inputs):
        raise UsageError(f"{len(message.inputs)} inputs, {len(packed)} raw contents")
    for number, entry in enumerate(message.inputs):
        datatype = inputs.datatype_of(entry.name)
        if entry.parameters:
            raise UsageError(f"{entry.name} has parameters", hint="send its values")
        if packed:
            try:
                values = unpack(datatype, packed[number])
            except (ValueError, struct.error):
                raise UsageError(f"the bytes of {entry.name} are no {datatype}") from None
        else:
            values = list(getattr(entry.contents, TYPED[datatype]))
        yield inputs.tensor(entry.name, entry.datatype, list(entry.shape), values)
