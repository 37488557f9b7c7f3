"""A trace goes from the caller through the gate to Triton, which reports its part of it."""

import json
import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import urllib3

from services.triton import triton
from umo_serving.supervisor import TRACES, tracing

CALLS = 12


class Collector(ThreadingHTTPServer):
    """Takes what OpenTelemetry's exporters send."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received = b""


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.received += self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as made:
        threading.Thread(target=made.serve_forever).start()
        yield made
        made.shutdown()


def test_nobody_to_send_to() -> None:
    assert tracing({}) == []


@pytest.mark.slow
def test_triton_reports_its_part_of_a_trace(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TRACES, f"http://127.0.0.1:{collector.server_port}/v1/traces")
    traces = [secrets.token_hex(16) for _ in range(3)]
    call = {
        "inputs": [
            {"name": "PROMPT", "datatype": "BYTES", "shape": [1], "data": ["One person"]},
            {"name": "REFERENCES", "datatype": "BYTES", "shape": [0], "data": []},
            {"name": "STEPS", "datatype": "INT32", "shape": [1], "data": [1]},
        ]
    }
    pool = urllib3.PoolManager(retries=False, timeout=300.0, maxsize=CALLS)
    with triton(tmp_path) as server:
        before = server.processes().keys()

        def ask(trace: str) -> int:
            headers = {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}
            url = f"http://{server.http}/v2/models/umo/infer"
            return pool.request("POST", url, body=json.dumps(call), headers=headers).status

        assert [ask(trace) for trace in traces] == [200] * len(traces)
        end = time.monotonic() + 120
        while not all(trace.encode() in collector.received for trace in traces):
            assert time.monotonic() < end, collector.received[:2_000]
            time.sleep(0.2)
        with ThreadPoolExecutor(CALLS) as callers:
            assert set(callers.map(ask, [secrets.token_hex(16) for _ in range(CALLS)])) == {200}
        assert server.processes().keys() == before
