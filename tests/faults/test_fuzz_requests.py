"""2,000 requests that no program should send: each is refused in one line, and nothing suffers."""

from __future__ import annotations

import json
import random
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import urllib3
from PIL import Image
from tritonclient.grpc import service_pb2, service_pb2_grpc

from umo_serving.client import Client
from umo_serving.client.wire import HEADER_LENGTH, Infer, Tensor

if TYPE_CHECKING:
    from services.triton import Triton

REQUESTS = 2_000
MESSAGES = 400
GROWTH = 48 * 2**20
"""Bytes that the server may grow by in the second half: pools and fragments, no leak."""
STEPS = Tensor("STEPS", "INT32", [1])
WILD_NUMBERS = (0, -1, 101, 2**31 - 1, -(2**31))
WILD_SIZES = (0, -1, 1, 65, 97, 4_096, 2**31 - 1, -(2**31))
REFUSALS = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
REGION = service_pb2.InferParameter(string_param="/dev/shm/x")
WILD_REALS = (float("nan"), float("inf"), float("-inf"), -0.5, 20.5, 3e38)

Request = tuple[bytes, dict[str, str]]
Family = Callable[[random.Random], Request]


def encoded(picture: Image.Image, kind: str) -> bytes:
    stream = BytesIO()
    picture.save(stream, format=kind)
    return stream.getvalue()


FACE = Image.effect_noise((96, 96), 60).convert("RGB")
PNG, JPEG, WEBP = (encoded(FACE, kind) for kind in ("PNG", "JPEG", "WEBP"))


def call(*changed: Tensor, without: str = "") -> Infer:
    """A good request but for some tensors."""
    tensors = {
        tensor.name: tensor
        for tensor in (
            Tensor("PROMPT", "BYTES", [b"two people at a table"]),
            Tensor("REFERENCES", "BYTES", [PNG]),
            STEPS,
            *changed,
        )
        if tensor.name != without
    }
    return Infer("umo", "", tuple(tensors.values()))


def described(change: Callable[[dict[str, Any]], object]) -> Request:
    """A good request in plain JSON, but for what `change` does to it."""
    body: dict[str, Any] = {
        "inputs": [
            {"name": "PROMPT", "shape": [1], "datatype": "BYTES", "data": ["two people"]},
            {"name": "REFERENCES", "shape": [0], "datatype": "BYTES", "data": []},
            {"name": "STEPS", "shape": [1], "datatype": "INT32", "data": [1]},
        ]
    }
    change(body)
    return json.dumps(body).encode(), {}


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises a picture of gigabytes."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(2**16))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(name, data) for name, data in ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    )


def jpeg_bomb(width: int, height: int) -> bytes:
    """A JPEG whose frame header promises another size."""
    frame = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:frame] + struct.pack(">HH", height, width) + JPEG[frame + 4 :]


def no_picture(draw: random.Random) -> Request:
    data = draw.choice(
        [
            lambda: draw.randbytes(draw.randint(0, 4_000)),
            lambda: PNG[: draw.randint(0, len(PNG) - 200)],
            lambda: JPEG[: draw.randint(0, 300)],
            lambda: WEBP[: draw.randint(0, 200)],
            lambda: PNG[:33] + draw.randbytes(500),
            lambda: b"<svg xmlns='http://www.w3.org/2000/svg' width='99' height='99'/>",
            lambda: encoded(FACE, draw.choice(["GIF", "BMP", "TIFF", "PPM"])),
            lambda: encoded(Image.new("RGB", (draw.randint(1, 15), 40)), "PNG"),
            lambda: b"\x00" * (8 * 2**20 + 1),
        ]
    )()
    return call(Tensor("REFERENCES", "BYTES", [data])).http()


def bomb(draw: random.Random) -> Request:
    side = draw.choice([30_000, 65_000, 8_193])
    make = draw.choice([png_bomb, jpeg_bomb])
    return call(Tensor("REFERENCES", "BYTES", [make(side, side)] * draw.randint(1, 4))).http()


def crowd(draw: random.Random) -> Request:
    return call(Tensor("REFERENCES", "BYTES", [PNG] * draw.randint(5, 200))).http()


def prompt(draw: random.Random) -> Request:
    text = draw.choice(
        [
            lambda: b"",
            lambda: b" \t\n",
            lambda: b"a" * 2_001,
            lambda: b"a" * 2**20,
            lambda: "日".encode() * 350_000,
            lambda: b"\xff\xfe" + draw.randbytes(50),
            lambda: b"two people \xed\xa0\x80",
        ]
    )()
    return call(Tensor("PROMPT", "BYTES", [text])).http()


def number(draw: random.Random) -> Request:
    name, values = draw.choice(
        [
            ("STEPS", WILD_NUMBERS),
            ("IMAGES", WILD_NUMBERS),
            ("WIDTH", WILD_SIZES),
            ("HEIGHT", WILD_SIZES),
        ]
    )
    return call(Tensor(name, "INT32", [draw.choice(values)])).http()


def guidance(draw: random.Random) -> Request:
    if draw.random() < 0.5:
        real = {"name": "GUIDANCE", "shape": [1], "datatype": "FP32"}
        odd = draw.choice([*WILD_REALS, 10**400, "NaN", None])
        return described(lambda body: body["inputs"].append({**real, "data": [odd]}))
    return call(Tensor("GUIDANCE", "FP32", [draw.choice(WILD_REALS)])).http()


def seed(draw: random.Random) -> Request:
    return call(Tensor("SEED", "INT64", [-draw.randint(1, 2**63)])).http()


def shape(draw: random.Random) -> Request:
    odd = draw.choice([[2], [1, 1], [], [-1], [2**62], [0], [2**31, 2**31], ["1"], [1.5], None])
    where = draw.choice([0, 2])
    return described(lambda body: body["inputs"][where].update(shape=odd))


def datatype(draw: random.Random) -> Request:
    odd = draw.choice(["FP64", "INT8", "STRING", "BYTESS", "", 7, None, ["BYTES"]])
    return described(lambda body: body["inputs"][draw.choice([0, 2])].update(datatype=odd))


def data(draw: random.Random) -> Request:
    odd = draw.choice([[], ["a", "b"], "two people", None, {"a": 1}, [[["x"]] * 3], [{}]])
    return described(lambda body: body["inputs"][draw.choice([0, 2])].update(data=odd))


def name(draw: random.Random) -> Request:
    odd = draw.choice(["", "prompt", "PROMPTS", "x" * 100_000, "../../etc/passwd", None, 3])
    return described(lambda body: body["inputs"][draw.choice([0, 1, 2])].update(name=odd))


def absent(draw: random.Random) -> Request:
    return call(without=draw.choice(["PROMPT", "REFERENCES"])).http()


def twice(draw: random.Random) -> Request:
    return described(lambda body: body["inputs"].append(draw.choice(body["inputs"])))


def no_json(draw: random.Random) -> Request:
    body = draw.choice(
        [
            lambda: b"",
            lambda: b"{",
            lambda: b"null",
            lambda: b"[]",
            lambda: b'{"inputs": 3}',
            lambda: b'{"inputs": []}',
            lambda: b'{"inputs": [{}]}',
            lambda: b"[" * 20_000,
            lambda: b'{"a":' * 20_000,
            lambda: draw.randbytes(draw.randint(1, 5_000)),
        ]
    )()
    return body, {}


def lying_lengths(draw: random.Random) -> Request:
    body, headers = call().http()
    length = int(headers[HEADER_LENGTH])
    return draw.choice(
        [
            lambda: (body, {HEADER_LENGTH: str(length + draw.randint(1, 5_000))}),
            lambda: (body, {HEADER_LENGTH: str(draw.randint(0, length - 1))}),
            lambda: (body, {HEADER_LENGTH: draw.choice(["-1", "", "x", "9" * 30])}),
            lambda: (body[: length + draw.randint(0, 100)], headers),
            lambda: (body + b"more", headers),
        ]
    )()


def lying_strings(draw: random.Random) -> Request:
    """A string tensor whose inner lengths do not add up to its bytes."""
    body, headers = call(Tensor("REFERENCES", "BYTES", [b"a" * 60])).http()
    inner = body.index(struct.pack("<I", 60) + b"aaaa")
    wrong = struct.pack("<I", draw.choice([0, 1, 59, 61, 2**31, 2**32 - 1]))
    return body[:inner] + wrong + body[inner + 4 :], headers


def flipped(draw: random.Random) -> Request:
    """A good request with some bits of its pictures and numbers turned; it may still be good."""
    body, headers = call(Tensor("REFERENCES", "BYTES", [draw.choice([PNG, JPEG, WEBP])])).http()
    turned = bytearray(body)
    for _ in range(draw.randint(1, 20)):
        turned[draw.randrange(int(headers[HEADER_LENGTH]), len(turned))] ^= 1 << draw.randrange(8)
    return bytes(turned), headers


FAMILIES: list[Family] = [
    no_picture,
    bomb,
    crowd,
    prompt,
    number,
    guidance,
    seed,
    shape,
    datatype,
    data,
    name,
    absent,
    twice,
    no_json,
    lying_lengths,
    lying_strings,
    flipped,
]


def memory(triton: Triton) -> int:
    """Bytes that the server's processes hold and share with nobody."""
    return sum(process.memory_full_info().uss for process in triton.processes().values())


def check_line(line: str) -> None:
    """An error is one line without paths and traces."""
    assert line
    assert "\n" not in line
    for secret in ("Traceback", "site-packages", "/home/", "/tmp/", "/root/", ".py"):
        assert secret not in line


def check_unharmed(triton: Triton, processes: set[int], before: int) -> None:
    grown = memory(triton) - before
    assert triton.processes().keys() == processes
    assert grown < GROWTH, f"{grown / 2**20:.0f} MiB more"
    with Client(triton.http) as client:
        assert client.generate("Two people in a park", [FACE, FACE], steps=1)
    print(f"memory {grown / 2**20:+.1f} MiB")


@pytest.mark.slow
def test_malformed_requests(triton: Triton, capsys: pytest.CaptureFixture[str]) -> None:
    draw = random.Random(2026)
    pool = urllib3.PoolManager(retries=False, timeout=120.0)
    url = f"http://{triton.http}/v2/models/umo/infer"
    before, processes = 0, set(triton.processes())
    statuses: Counter[int] = Counter()
    for number in range(REQUESTS):
        if number == REQUESTS // 2:
            before = memory(triton)
        family = FAMILIES[number % len(FAMILIES)]
        body, headers = family(draw)
        answer = pool.request("POST", url, body=body, headers=headers)
        statuses[answer.status] += 1
        if answer.status != 200 or family is not flipped:
            assert 400 <= answer.status < 500, (family.__name__, body[:2_000], answer.data)
            check_line(answer.json()["error"])
    with capsys.disabled():
        print(f"\n{REQUESTS} requests over HTTP: {dict(statuses)}")
        check_unharmed(triton, processes, before)


def message(draw: random.Random) -> Any:
    """A request over gRPC that is good but for one thing."""
    good = Infer("umo", "", call().inputs).grpc()
    entry = draw.randrange(len(good.inputs))
    change = draw.choice(
        [
            lambda: good.inputs[entry].shape.append(draw.choice([1, 0, -1, 2**62])),
            lambda: good.inputs[entry].ClearField("shape"),
            lambda: setattr(good.inputs[entry], "datatype", draw.choice(["", "FP64", "INT8"])),
            lambda: setattr(good.inputs[entry], "name", draw.choice(["", "X", "x" * 10_000])),
            lambda: good.inputs.add().CopyFrom(good.inputs[entry]),
            lambda: good.raw_input_contents.append(draw.randbytes(9)),
            lambda: good.raw_input_contents.pop(),
            lambda: good.ClearField("raw_input_contents"),
            lambda: good.ClearField("inputs"),
            lambda: (
                good.inputs[entry].contents.int_contents.append(1) or good.raw_input_contents.pop()
            ),
            lambda: good.inputs[entry].parameters["shared_memory_region"].MergeFrom(REGION),
            lambda: setattr(
                good, "model_name", draw.choice(["", "umo_vlocal", "../umo", "x" * 9_999])
            ),
            lambda: setattr(good, "id", "x" * 5_000),
            lambda: good.raw_input_contents.__setitem__(1, draw.randbytes(draw.randint(1, 99))),
            lambda: good.raw_input_contents.__setitem__(0, struct.pack("<I", 2**20) + b"a" * 2**20),
            lambda: good.raw_input_contents.__setitem__(
                2, struct.pack("<i", draw.choice(WILD_NUMBERS))
            ),
        ]
    )
    change()
    return good


@pytest.mark.slow
def test_malformed_messages(triton: Triton, capsys: pytest.CaptureFixture[str]) -> None:
    draw = random.Random(2026)
    before, processes = 0, set(triton.processes())
    codes: Counter[str] = Counter()
    with grpc.insecure_channel(triton.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for number in range(MESSAGES):
            if number == MESSAGES // 2:
                before = memory(triton)
            sent = message(draw)
            with pytest.raises(grpc.RpcError) as caught:
                stub.ModelInfer(sent, timeout=120)
            codes[caught.value.code().name] += 1
            assert caught.value.code() in REFUSALS, (sent, caught.value)
            check_line(caught.value.details())
            if sent.model_name == "umo":
                sent.model_name = "umo_stream"
            (answer,) = stub.ModelStreamInfer(iter([sent]), timeout=120)
            check_line(answer.error_message)
    with capsys.disabled():
        print(f"\n{MESSAGES} requests over gRPC, and as streams: {dict(codes)}")
        check_unharmed(triton, processes, before)
