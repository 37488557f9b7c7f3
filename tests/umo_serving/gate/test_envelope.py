"""Calls over HTTP as the gate reads them, and answers as it writes them."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from umo.errors import UsageError
from umo_serving.client import wire
from umo_serving.client.wire import HEADER_LENGTH, Infer, Tensor
from umo_serving.gate import envelope, outputs

EVERYTHING = Infer(
    "umo",
    "an-id",
    (
        Tensor("PROMPT", "BYTES", ["zwei Leute, 日本".encode()]),
        Tensor("REFERENCES", "BYTES", [b"\x89PNG", b""]),
        Tensor("SEED", "INT64", [2**63 - 1]),
        Tensor("STEPS", "INT32", [-5]),
        Tensor("GUIDANCE", "FP32", [2.5]),
        Tensor("WIDTH", "INT32", [64]),
        Tensor("HEIGHT", "INT32", [64]),
        Tensor("IMAGES", "INT32", [2]),
        Tensor("MATCHES", "BOOL", [True]),
    ),
)
PNGS = [b"\x89PNG\xff", b"\x89PNG\x00"]


def read(infer: Infer) -> envelope.Envelope:
    body, headers = infer.http()
    return envelope.read("umo", body, headers[HEADER_LENGTH])


def plain(**changes: Any) -> dict[str, Any]:
    return {
        "id": "an-id",
        "inputs": [
            {"name": "PROMPT", "datatype": "BYTES", "shape": [1], "data": ["two people"]},
            {"name": "REFERENCES", "datatype": "BYTES", "shape": [2], "data": ["YQ==", "Yg=="]},
            {"name": "GUIDANCE", "datatype": "FP32", "shape": [1], "data": [3]},
        ],
        **changes,
    }


def test_what_the_client_sends_arrives() -> None:
    call = read(EVERYTHING)
    assert call.infer == EVERYTHING
    assert call.binary == dict.fromkeys(outputs.OUTPUTS, True)


def test_a_call_in_plain_json() -> None:
    call = envelope.read("umo", json.dumps(plain()).encode(), None)
    assert [tensor.values for tensor in call.infer.inputs] == [
        [b"two people"],
        [b"YQ==", b"Yg=="],
        [3],
    ]
    assert call.binary == dict.fromkeys(outputs.OUTPUTS, False)


def test_lists_in_the_data_do_not_matter() -> None:
    nested = plain()
    nested["inputs"][1]["data"] = [["YQ=="], ["Yg=="]]
    assert envelope.read("umo", json.dumps(nested).encode(), None).infer.inputs[1].values == [
        b"YQ==",
        b"Yg==",
    ]


ANSWER = [
    Tensor("PICTURES", "BYTES", PNGS),
    Tensor("SEED", "INT64", [7, 8]),
    Tensor("MODEL_VERSION", "BYTES", [b"3"]),
    Tensor("MODEL_DIGEST", "BYTES", [b"ab12"]),
    Tensor("MATCHES", "BYTES", [b"[]"]),
]


def test_the_client_reads_what_the_gate_writes() -> None:
    body, headers = envelope.write(ANSWER, read(EVERYTHING))
    assert wire.from_http(body, headers) == {one.name: list(one.values) for one in ANSWER}


def test_an_answer_in_plain_json() -> None:
    call = envelope.read("umo", json.dumps(plain()).encode(), None)
    body, headers = envelope.write(ANSWER, call)
    assert headers == {"content-type": "application/json"}
    answer = json.loads(body)
    assert (answer["model_name"], answer["id"]) == ("umo", "an-id")
    data = {output["name"]: output["data"] for output in answer["outputs"]}
    assert [base64.b64decode(png) for png in data.pop("PICTURES")] == PNGS
    assert data == {
        "SEED": [7, 8],
        "MODEL_VERSION": ["3"],
        "MODEL_DIGEST": ["ab12"],
        "MATCHES": ["[]"],
    }


def test_only_what_was_asked_for_as_it_was_asked_for() -> None:
    asked = plain(outputs=[{"name": "PICTURES", "parameters": {"binary_data": True}}])
    call = envelope.read("umo", json.dumps(asked).encode(), None)
    body, headers = envelope.write(ANSWER, call)
    assert wire.from_http(body, headers) == {"PICTURES": PNGS}


def altered(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    call = plain()
    change(call)
    return call


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(id=3), "the id is no text"),
        (lambda c: c.update(id="x" * 300), "the id is no text of at most 256 characters"),
        (lambda c: c.update(more=1), "the call has no 'more'"),
        (lambda c: c.update(parameters={"priority": 1}), "the parameters has no 'priority'"),
        (lambda c: c.update(inputs=[]), "there is no list of inputs"),
        (lambda c: c["inputs"].pop(0), "the input PROMPT is missing"),
        (lambda c: c["inputs"].append(c["inputs"][0]), "the input PROMPT is given twice"),
        (lambda c: c["inputs"][0].update(name="TEXT"), "there is no input 'TEXT'; known: PROMPT"),
        (lambda c: c["inputs"][0].update(datatype="FP32"), "PROMPT is 'FP32', not BYTES"),
        (lambda c: c["inputs"][0].update(shape=[2**31, 2**31]), "PROMPT has 1 values, its shape"),
        (lambda c: c["inputs"][0].update(data=[1]), "PROMPT is 1, not BYTES"),
        (lambda c: c["inputs"][0].update(data=["\ud800"]), "PROMPT is no valid Unicode"),
        (lambda c: c["inputs"][0].update(data="two"), "PROMPT has no list of data"),
        (lambda c: c["inputs"][0].update(data=[[[[["x"]]]]]), "PROMPT has no list of data"),
        (lambda c: c["inputs"][2].update(data=[True]), "GUIDANCE is true, not FP32"),
        (lambda c: c["inputs"][2].update(data=[10**400]), "GUIDANCE is too large for FP32"),
        (lambda c: c["inputs"][2].update(data=[1e39]), "GUIDANCE is too large for FP32"),
        (lambda c: c["inputs"][2].update(data=[1, 2], shape=[2]), "GUIDANCE has 2 values, not 1"),
        (
            lambda c: c["inputs"][0].update(parameters={"binary_data_size": 9}),
            "PROMPT ends 9 bytes behind the body",
        ),
        (
            lambda c: c["inputs"][0].update(parameters={"shared_memory_region": "x"}),
            "has no 'shared_memory_region'",
        ),
        (lambda c: c.update(outputs=[{"name": "SECRET"}]), "there is no output 'SECRET'"),
        (
            lambda c: c.update(outputs=[{"name": "SEED", "parameters": {"binary_data": 1}}]),
            "binary_data is neither true nor false",
        ),
    ],
)
def test_a_call_that_is_not_well_formed(
    change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        envelope.read("umo", json.dumps(altered(change)).encode(), None)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"[" * 100_000, b"\xff\xfe", b"NaN"])
def test_a_body_that_is_no_call(body: bytes) -> None:
    with pytest.raises(UsageError, match="the body is"):
        envelope.read("umo", body, None)


@pytest.mark.parametrize("length", ["-1", "x", "", "9" * 30, "٣", "1e3"])
def test_a_length_that_is_none(length: str) -> None:
    with pytest.raises(UsageError, match="the length of the JSON is no whole number"):
        envelope.read("umo", json.dumps(plain()).encode(), length)


def test_bytes_that_belong_to_nothing() -> None:
    body, headers = EVERYTHING.http()
    with pytest.raises(UsageError, match="4 bytes follow the last input"):
        envelope.read("umo", body + b"more", headers[HEADER_LENGTH])
    with pytest.raises(UsageError, match="MATCHES ends 1 bytes behind the body"):
        envelope.read("umo", body[:-1], headers[HEADER_LENGTH])
