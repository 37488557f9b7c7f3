"""One trace from a program through the gate to the model, as a collector sees it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import urllib3

from umo_serving import server
from umo_serving.client import Client
from umo_serving.probe import PICTURES

if TYPE_CHECKING:
    from services.collector import Collector, Span
    from services.triton import Triton

PROGRAM = Path(__file__).parents[1] / "services" / "traced_program.py"
PROMPT = "Somebody whose name nobody may know"
KEY = "a-key-that-nobody-may-know"
PEOPLE = sorted(PICTURES.glob("*.png"))
PARTS = ("umo.references", "umo.encode", "umo.denoise", "umo.decode", "umo.match")
ONCE = ("http", "grpc", "awaited http", "awaited grpc")
STREAMS = ("stream", "awaited stream")
SERVICES = {"umo-gate", "umo-model"}
AT_THE_END = {"OTEL_BSP_SCHEDULE_DELAY": "3600000"}
"""Spans are sent once an hour, and when a process ends."""
FOREIGN = {
    "begun": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "not wanted": "00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-00",
    "broken": "00-0af7651916cd43dd8448eb211c80319e-../../etc/passwd-01",
}
"""Headers of callers who do not use the client, by request id."""


@dataclass(frozen=True)
class Seen:
    """What a collector got once the program and the server had ended."""

    collector: Collector
    traces: dict[str, str]
    """Trace of each way to call."""
    log: str
    """What the server said."""

    def spans(self, way: str) -> dict[str, Span]:
        """The spans of a way to call, by name."""
        found = [span for span in self.collector.spans if span.trace == self.traces[way]]
        assert len({span.name for span in found}) == len(found)
        return {span.name: span for span in found}

    def gate(self, request_id: str) -> list[Span]:
        """The gate's spans of a call."""
        wanted = {"umo.request_id": request_id}.items()
        spans = self.collector.spans
        return [one for one in spans if one.name == "umo.gate" and wanted <= one.facts.items()]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    from services.collector import collector
    from services.triton import triton

    with collector() as found:
        env = {**found.environment, **AT_THE_END}
        with triton(tmp_path_factory.mktemp("traced"), env=env) as served:
            done = subprocess.run(
                [sys.executable, str(PROGRAM), served.http, served.grpc, PROMPT, KEY],
                env={**os.environ, **env},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            for name, header in FOREIGN.items():
                foreign(served, name, header)
            assert {span.service for span in found.spans} == {"program"}
            server.down(served.folder)
            return Seen(found, json.loads(done.stdout), served.folder.log.read_text())


def foreign(served: Triton, request_id: str, header: str) -> None:
    body = {
        "id": request_id,
        "inputs": [
            {"name": "PROMPT", "datatype": "BYTES", "shape": [1], "data": [PROMPT]},
            {"name": "REFERENCES", "datatype": "BYTES", "shape": [0], "data": []},
            {"name": "STEPS", "datatype": "INT32", "shape": [1], "data": [1]},
        ],
    }
    url = f"http://{served.http}/v2/models/umo/infer"
    headers = {"traceparent": header}
    assert urllib3.request("POST", url, json=body, headers=headers, timeout=120).status == 200


@pytest.mark.parametrize("way", [*ONCE, *STREAMS])
def test_one_trace_from_the_program_to_the_model(seen: Seen, way: str) -> None:
    spans = seen.spans(way)
    call = "umo.stream" if way in STREAMS else "umo.generate"
    above = {call: way, "umo.gate": call, "umo.paint": "umo.gate"}
    above |= dict.fromkeys(PARTS, "umo.paint")
    assert set(spans) == {way, *above}
    assert spans[way].parent == ""
    for name, parent in above.items():
        assert spans[name].parent == spans[parent].own, name
    assert [spans[name].kind for name in (call, "umo.gate", "umo.paint")] == [
        "CLIENT",
        "SERVER",
        "INTERNAL",
    ]
    assert [spans[name].service for name in (call, "umo.gate", "umo.paint", *PARTS)] == [
        "program",
        "umo-gate",
        *["umo-model"] * 6,
    ]
    assert not any(span.failed for span in spans.values())


def test_calls_that_are_painted_together_keep_apart(seen: Seen) -> None:
    spans = [one for one in seen.collector.spans if one.trace == seen.traces["together"]]

    def below(parent: str) -> list[tuple[str, str]]:
        return sorted((one.name, one.own) for one in spans if one.parent == parent)

    (program,) = below("")
    calls = below(program[1])
    assert [name for name, _ in calls] == ["umo.generate"] * 4
    for _, call in calls:
        ((gate, answered),) = below(call)
        ((paint, painted),) = below(answered)
        assert (gate, paint) == ("umo.gate", "umo.paint")
        assert [name for name, _ in below(painted)] == sorted(PARTS)


def test_what_spans_say(seen: Seen) -> None:
    spans = seen.spans("awaited grpc")
    asked, answered, painted = (
        spans[f"umo.{name}"].facts for name in ("generate", "gate", "paint")
    )
    address = asked.pop("umo.address")
    assert address.startswith("127.0.0.1:")
    request_id = asked.pop("umo.request_id")
    assert asked == {"umo.protocol": "grpc", "umo.endpoint": "umo", "umo.retries": 0}
    assert answered == {
        "umo.queue": 0,
        "umo.endpoint": "umo",
        "umo.request_id": request_id,
        "umo.version": "local",
        "umo.outcome": "ok",
        "umo.references": len(PEOPLE),
        "umo.images": 1,
        "umo.steps": 1,
    }
    assert painted["umo.version"] == "local"
    assert len(painted["umo.digest"]) == 64
    line = next(line for line in seen.log.splitlines() if request_id in line)
    trace = json.loads(line)["traceparent"]
    assert trace.split("-")[1:3] == [spans["umo.gate"].trace, spans["umo.gate"].own]


@pytest.mark.parametrize("way", ["refused http", "refused grpc", "refused stream"])
def test_a_failed_call_is_one_in_every_process(seen: Seen, way: str) -> None:
    spans = seen.spans(way)
    call = spans.get("umo.generate") or spans["umo.stream"]
    for span in (call, spans["umo.gate"], spans["umo.paint"]):
        assert span.failed, span.name
        assert span.facts["error.type"] == "usage"
    assert spans["umo.gate"].facts["umo.outcome"] == "usage"


@pytest.mark.parametrize("way", ["left", "awaited and left"])
def test_a_stream_that_is_left_is_cancelled_and_no_failure(seen: Seen, way: str) -> None:
    spans = seen.spans(way)
    assert not any(span.failed for span in spans.values())
    assert spans["umo.gate"].facts["umo.outcome"] == "cancelled"
    assert spans["umo.denoise"].facts["error.type"] == "cancelled"
    assert "umo.decode" not in spans


def test_a_call_to_nobody_counts_its_repetitions(seen: Seen) -> None:
    spans = seen.spans("nobody there")
    assert set(spans) == {"nobody there", "umo.generate"}
    assert spans["umo.generate"].failed
    assert spans["umo.generate"].facts["umo.retries"] == 2
    assert spans["umo.generate"].facts["error.type"] == "unavailable"


def test_a_program_without_a_trace_begins_one(seen: Seen) -> None:
    (begun,) = (one for one in seen.collector.spans if one.kind == "CLIENT" and not one.parent)
    (gate,) = (one for one in seen.collector.spans if one.parent == begun.own)
    assert (begun.name, gate.name, gate.trace) == ("umo.generate", "umo.gate", begun.trace)


def test_callers_without_our_client(seen: Seen) -> None:
    """W3C's headers go on; who wants no record gets none; what is no header goes nowhere."""
    (begun,) = seen.gate("begun")
    assert FOREIGN["begun"] == f"00-{begun.trace}-{begun.parent}-01"
    assert "umo.paint" in {one.name for one in seen.collector.spans if one.trace == begun.trace}
    assert not seen.gate("not wanted")
    (broken,) = seen.gate("broken")
    assert broken.parent == ""
    assert "passwd" not in seen.log


def test_probes_are_in_no_trace(seen: Seen) -> None:
    """The server has asked itself for a picture, at its start at least."""
    called = {one.own for one in seen.collector.spans if one.kind == "CLIENT"}
    gates = {one.own: one for one in seen.collector.spans if one.name == "umo.gate"}
    paints = [one for one in seen.collector.spans if one.name == "umo.paint"]
    known = {one.own for name in FOREIGN for one in seen.gate(name)}
    assert {own for own, one in gates.items() if one.parent not in called} == known
    assert {one.parent for one in paints} <= set(gates)


def test_no_trace_holds_a_prompt_a_picture_a_path_or_a_key(seen: Seen) -> None:
    said = b"".join(seen.collector.bodies)
    assert b"umo.paint" in said
    pictures = [one.read_bytes() for one in PEOPLE]
    secrets = [PROMPT.encode(), KEY.encode(), b"\x89PNG", str(Path.home()).encode() + b"/"]
    secrets += [piece for one in pictures for piece in (one[:64], base64.b64encode(one)[:64])]
    for secret in (*secrets, str(PICTURES).encode(), b".png", b"Traceback", b"site-packages"):
        assert secret not in said, secret


def test_a_collector_that_is_down_harms_nobody(tmp_path: Path) -> None:
    """It is gone, then it takes spans and says nothing, then it is back, and so are the traces."""
    from services.collector import collector
    from services.processes import free_ports
    from services.triton import triton

    (port,) = free_ports(1)
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    env |= {"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_EXPORTER_OTLP_TIMEOUT": "3"}
    with (
        triton(tmp_path, env=env) as served,
        Client(served.grpc, protocol="grpc", retries=0) as client,
    ):
        for step in client.stream(PROMPT, PEOPLE, steps=4):
            assert step
        with collector(port) as silent:
            silent.speaks.clear()
            until(lambda: silent.asked >= 2, lambda: paint(served))
            assert not silent.spans
        with collector(port) as back:
            until(lambda: services(back) == SERVICES, lambda: paint(served))
        paint(served)
        assert server.down(served.folder)


def paint(served: Triton) -> None:
    with Client(served.http, retries=0) as client:
        assert client.generate(PROMPT, PEOPLE, steps=1)


def services(collector: Collector) -> set[str]:
    return {span.service for span in collector.spans}


def until(reached: Callable[[], bool], act: Callable[[], None]) -> None:
    end = time.monotonic() + 120
    while not reached():
        assert time.monotonic() < end
        act()
        time.sleep(0.2)
