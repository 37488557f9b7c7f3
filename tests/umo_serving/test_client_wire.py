"""The bytes on the wire, against NVIDIA's own reader and writer."""

import json

import numpy as np
import pytest
from tritonclient.grpc import InferInput, InferResult, service_pb2

from umo.errors import UmoError
from umo_serving.client import wire
from umo_serving.client.wire import Infer, Tensor

INPUTS = (
    Tensor("PROMPT", "BYTES", ["zwei Leute, 日本".encode()]),
    Tensor("REFERENCES", "BYTES", [b"", b"\x00" * 5, b"\xff\x89PNG"]),
    Tensor("NOTHING", "BYTES", []),
    Tensor("SEED", "INT64", [2**63 - 1]),
    Tensor("STEPS", "INT32", [-3]),
    Tensor("GUIDANCE", "FP32", [2.5]),
    Tensor("MATCHES", "BOOL", [True]),
)
CALL = Infer("umo", "an-id", INPUTS)
DTYPES = {"BYTES": object, "INT64": np.int64, "INT32": np.int32, "FP32": np.float32, "BOOL": bool}


@pytest.mark.parametrize("tensor", INPUTS, ids=lambda tensor: tensor.name)
def test_tensors_are_packed_as_tritonclient_packs_them(tensor: Tensor) -> None:
    theirs = InferInput(tensor.name, [len(tensor.values)], tensor.datatype)
    theirs.set_data_from_numpy(np.array(tensor.values, dtype=DTYPES[tensor.datatype]))
    assert tensor.raw() == (theirs._get_content() or b"")


def answer() -> service_pb2.ModelInferResponse:
    """What a server that echoes its inputs would send."""
    request = CALL.grpc()
    assert (request.model_name, request.id) == ("umo", "an-id")
    return service_pb2.ModelInferResponse(
        outputs=[
            service_pb2.ModelInferResponse.InferOutputTensor(
                name=tensor.name, datatype=tensor.datatype, shape=tensor.shape
            )
            for tensor in request.inputs
        ],
        raw_output_contents=request.raw_input_contents,
    )


def test_grpc_answers_are_read_as_tritonclient_reads_them() -> None:
    theirs = InferResult(answer())
    for name, values in wire.from_grpc(answer()).items():
        assert list(theirs.as_numpy(name)) == values


def test_http_carries_the_same_values() -> None:
    body, headers = CALL.http()
    length = int(headers[wire.HEADER_LENGTH])
    header = json.loads(body[:length])
    assert header["id"] == "an-id"
    echoed = json.dumps({"outputs": header["inputs"]}).encode()
    outputs = wire.from_http(echoed + body[length:], {wire.HEADER_LENGTH: str(len(echoed))})
    assert outputs == {tensor.name: list(tensor.values) for tensor in INPUTS}


def test_http_answers_may_be_plain_json() -> None:
    body = b'{"outputs": [{"name": "SEED", "datatype": "INT64", "shape": [2], "data": [1, 2]}]}'
    assert wire.from_http(body, {}) == {"SEED": [1, 2]}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Bad gateway</html>",
        b"[]",
        b'{"outputs": 3}',
        b'{"outputs": [{"name": "SEED"}]}',
        b'{"outputs": [{"name": "P", "datatype": "BYTES", "parameters": {"binary_data_size": 9}}]}'
        + b"\x05\x00\x00\x00abc",
        b'{"outputs": [{"name": "P", "datatype": "FP8", "parameters": {"binary_data_size": 0}}]}',
    ],
)
def test_an_unreadable_answer_is_one_line(body: bytes) -> None:
    end = body.find(b"}]}") + 3 if b"}]}" in body else len(body)
    with pytest.raises(UmoError, match=r"answer cannot be read.*is it a umo server"):
        wire.from_http(body, {wire.HEADER_LENGTH: str(end)})


def test_a_cut_off_message_is_one_line() -> None:
    response = answer()
    response.raw_output_contents[0] = response.raw_output_contents[0][:-1]
    with pytest.raises(UmoError, match="answer cannot be read"):
        wire.from_grpc(response)
    del response.raw_output_contents[0]
    with pytest.raises(UmoError, match="answer cannot be read"):
        wire.from_grpc(response)
