"""The gate of a real server: who is let in, what callers are told, and NVIDIA's own clients."""

from __future__ import annotations

import json
import os
import queue
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
import urllib3
from tritonclient import grpc as nvidia

from umo.errors import UmoError
from umo_serving.client import Client
from umo_serving.client.wire import INPUTS
from umo_serving.gate import outputs
from umo_serving.gate.router import QUEUE
from umo_serving.probe import PICTURES

if TYPE_CHECKING:
    from services.triton import Triton

PEOPLE = sorted(PICTURES.glob("*.png"))
POOL = urllib3.PoolManager(retries=False, timeout=120.0)


def ask(triton: Triton, method: str, path: str, **more: Any) -> urllib3.BaseHTTPResponse:
    return POOL.request(method, f"http://{triton.http}{path}", **more)


def call(**changes: Any) -> dict[str, Any]:
    return {
        "inputs": [
            {"name": "PROMPT", "datatype": "BYTES", "shape": [1], "data": ["One person"]},
            {"name": "REFERENCES", "datatype": "BYTES", "shape": [0], "data": []},
            {"name": "STEPS", "datatype": "INT32", "shape": [1], "data": [1]},
        ],
        **changes,
    }


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/v2/models/umo/ready"])
def test_health(triton: Triton, path: str) -> None:
    assert ask(triton, "GET", path).status == 200


def test_what_it_says_about_the_model(triton: Triton) -> None:
    told = ask(triton, "GET", "/v2/models/umo").json()
    assert [tensor["name"] for tensor in told["inputs"]] == list(INPUTS)
    assert [tensor["name"] for tensor in told["outputs"]] == list(outputs.OUTPUTS)
    with nvidia.InferenceServerClient(triton.grpc) as client:
        same = client.get_model_metadata("umo", as_json=True)
    assert [tensor["name"] for tensor in same["inputs"]] == list(INPUTS)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v2/models/umo_vlocal", 404),
        ("POST", "/v2/models/umo_vlocal/infer", 404),
        ("POST", "/v2/repository/index", 404),
        ("POST", "/v2/repository/models/umo_vlocal/unload", 404),
        ("GET", "/v2/systemsharedmemory/status", 404),
        ("GET", "/v2/trace/setting", 404),
        ("GET", "/metrics", 404),
        ("GET", "/v2/../../etc/passwd", 404),
        ("GET", "/v2/models/umo/infer", 405),
        ("DELETE", "/v2/models/umo", 405),
    ],
)
def test_there_is_nothing_else(triton: Triton, method: str, path: str, status: int) -> None:
    answer = ask(triton, method, path)
    assert answer.status == status
    assert answer.json()["error"].startswith(("not-found: ", "usage: "))


def test_a_body_that_is_too_large(triton: Triton) -> None:
    answer = ask(triton, "POST", "/v2/models/umo/infer", body=b"x" * (50 * 2**20))
    assert answer.status == 413
    assert "Too Large" in answer.json()["error"]


def test_a_version_cannot_be_asked_past_the_gate(triton: Triton) -> None:
    with nvidia.InferenceServerClient(triton.grpc) as client:
        prompt = nvidia.InferInput("PROMPT", [1], "BYTES")
        prompt.set_data_from_numpy(np.array([b"two"], object))
        with pytest.raises(nvidia.InferenceServerException, match="no model 'umo_vlocal'"):
            client.infer("umo_vlocal", [prompt])
        with pytest.raises(nvidia.InferenceServerException, match="UNIMPLEMENTED"):
            client.unload_model("umo_vlocal")


def tensors(seed: int) -> list[Any]:
    prompt = nvidia.InferInput("PROMPT", [1], "BYTES")
    prompt.set_data_from_numpy(np.array([b"Two people"], object))
    references = nvidia.InferInput("REFERENCES", [2], "BYTES")
    references.set_data_from_numpy(np.array([one.read_bytes() for one in PEOPLE], object))
    drawn = nvidia.InferInput("SEED", [1], "INT64")
    drawn.set_data_from_numpy(np.array([seed], np.int64))
    steps = nvidia.InferInput("STEPS", [1], "INT32")
    steps.set_data_from_numpy(np.array([2], np.int32))
    return [prompt, references, drawn, steps]


def test_nvidias_client_gets_the_same(triton: Triton) -> None:
    with Client(triton.http) as ours:
        wanted = ours.generate("Two people", PEOPLE, seed=5, steps=2)
    with nvidia.InferenceServerClient(triton.grpc) as client:
        result = client.infer("umo", tensors(5), request_id="nvidia")
    assert result.get_response().id == "nvidia"
    assert result.as_numpy("SEED").tolist() == wanted.seeds
    assert result.as_numpy("MODEL_DIGEST").tolist() == [wanted.model_digest.encode()]
    assert result.as_numpy("PICTURES")[0].startswith(b"\x89PNG")


def test_nvidias_client_streams(triton: Triton) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with nvidia.InferenceServerClient(triton.grpc) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        client.async_stream_infer("umo_stream", tensors(5))
        client.async_stream_infer("umo_stream", tensors(5)[:1])
        seen = [answers.get(timeout=120) for _ in range(4)]
        client.stop_stream()
    *steps, (last, _), (_, refused) = seen
    assert [result.as_numpy("STEP").tolist() for result, _ in steps] == [[1], [2]]
    assert last.get_response().parameters["triton_final_response"].bool_param
    assert last.as_numpy("SEED").tolist() == [5]
    assert "the input REFERENCES is missing" in str(refused)


def test_metrics_are_ours_and_tritons(triton: Triton) -> None:
    before = triton.metric("umo_calls_total", endpoint="umo", outcome="usage")
    assert ask(triton, "POST", "/v2/models/umo/infer", json=call()).status == 200
    bad = call()
    bad["inputs"][2]["data"] = [0]
    assert ask(triton, "POST", "/v2/models/umo/infer", json=bad).status == 400
    assert triton.metric("umo_calls_total", endpoint="umo", outcome="usage") == before + 1
    assert triton.metric("umo_generation_seconds_count", endpoint="umo") >= 1
    assert triton.metric("umo_identity_score_count") >= 1
    assert triton.metric("nv_inference_request_success", model="umo_vlocal") >= 1


def test_the_log_has_the_call_and_nothing_of_its_content(triton: Triton) -> None:
    secret = "Somebody whose name nobody may know"
    body = call(id="log-me")
    body["inputs"][0]["data"] = [secret]
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = ask(triton, "POST", "/v2/models/umo/infer", json=body, headers={"traceparent": trace})
    assert answer.status == 200
    ask(triton, "POST", "/v2/models/umo/infer", body=secret.encode())
    log = triton.folder.log.read_text()
    assert secret not in log
    lines = [json.loads(line) for line in log.splitlines() if '"log-me"' in line]
    assert [(line["outcome"], line["version"], line["traceparent"]) for line in lines] == [
        ("ok", "local", trace)
    ]


def test_a_full_queue_says_try_again(triton: Triton) -> None:
    long = call()
    long["inputs"][2]["data"] = [10]
    body = json.dumps(long).encode()
    many = urllib3.PoolManager(retries=False, timeout=300.0, maxsize=QUEUE + 8)

    def one(_: int) -> tuple[int, str | None]:
        url = f"http://{triton.http}/v2/models/umo/infer"
        answer = many.request("POST", url, body=body)
        return answer.status, answer.headers.get("retry-after")

    with ThreadPoolExecutor(QUEUE + 8) as callers:
        answers = list(callers.map(one, range(QUEUE + 8)))
    assert set(answers) == {(200, None), (503, "1")}
    assert answers.count((200, None)) >= QUEUE


def stub(triton: Triton) -> psutil.Process:
    (found,) = (one for one in triton.processes().values() if "stub" in one.name())
    return found


def test_calls_of_a_version_that_dies_end_at_once_and_it_comes_back(
    triton: Triton, capsys: pytest.CaptureFixture[str]
) -> None:
    with Client(triton.grpc, protocol="grpc", retries=0) as client:
        stream = client.stream("Two people", PEOPLE, steps=100)
        next(stream)
        killed = stub(triton)
        killed.send_signal(signal.SIGKILL)
        died = time.monotonic()
        with pytest.raises(UmoError, match=r"died|being started") as caught:
            list(stream)
        told = time.monotonic() - died
        assert caught.value.retryable
        assert told < 10
    with Client(triton.http, retries=30, timeout=300) as patient:
        assert patient.generate("Two people", PEOPLE, steps=1)
    with capsys.disabled():
        print(f"\ntold after {told:.2f} s, painting again after {time.monotonic() - died:.1f} s")


def test_the_gate_comes_back(triton: Triton, capsys: pytest.CaptureFixture[str]) -> None:
    (gate,) = (
        one for one in triton.processes().values() if "umo_serving.gate" in " ".join(one.cmdline())
    )
    died = time.monotonic()
    os.kill(gate.pid, signal.SIGKILL)
    with Client(triton.http, retries=30, timeout=300) as patient:
        assert patient.generate("Two people", PEOPLE, steps=1)
    with capsys.disabled():
        print(f"\nthe gate is back after {time.monotonic() - died:.1f} s")
