"""A FAKE server that records requests and answers what a test told it: no KFP and no Kubernetes.

What it answers is written after the published OpenAPI; what is sent to it is what a test looks at.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = Any | Callable[["Call"], Any]


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    query: dict[str, list[str]]
    body: Any
    headers: dict[str, str]


@dataclass
class FakeApi:
    """Answers by `METHOD path-pattern`; an answer is JSON, text, a status, or a function."""

    answers: dict[str, Answer]
    calls: list[Call] = field(default_factory=list)
    url: str = ""

    def find(self, call: Call) -> Any:
        for key, answer in self.answers.items():
            method, pattern = key.split(" ")
            if method == call.method and re.fullmatch(pattern, call.path):
                return answer(call) if callable(answer) else answer
        return 404

    def made(self, method: str, pattern: str) -> list[Call]:
        return [one for one in self.calls if one.method == method and re.search(pattern, one.path)]


@contextmanager
def fake_api(answers: dict[str, Answer]) -> Iterator[FakeApi]:
    fake = FakeApi(answers)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            """Be quiet."""

        def answer(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("content-length", 0))
            text = self.rfile.read(length).decode()
            body = json.loads(text) if text.startswith(("{", "[", '"')) else text
            call = Call(
                self.command, parts.path, parse_qs(parts.query), body, dict(self.headers.items())
            )
            fake.calls.append(call)
            found = fake.find(call)
            status = found if isinstance(found, int) else 200
            plain = {"code": status, "message": f"fake {status}"} if status != 200 else found
            data = plain.encode() if isinstance(plain, str) else json.dumps(plain).encode()
            self.send_response(status)
            kind = "text/plain" if isinstance(plain, str) else "application/json"
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()


def kubeconfig(url: str) -> str:
    """A kubeconfig of the fake, for KUBECONFIG."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": url}}],
            "users": [{"name": "fake", "user": {"token": "planted-token"}}],
            "contexts": [
                {
                    "name": "fake",
                    "context": {"cluster": "fake", "user": "fake", "namespace": "umo"},
                }
            ],
        }
    )
