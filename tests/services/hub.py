"""A FAKE Hugging Face hub with one dataset: what its own client asks of a real one, no more."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = hashlib.sha1(b"a commit").hexdigest()


@dataclass
class FakeHub:
    """Where it is, and what it was asked for."""

    asked: list[str] = field(default_factory=list)
    url: str = ""

    def environment(self, home: Path) -> dict[str, str]:
        """What a client of it has in its environment; `home` keeps what it downloads."""
        return {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}


@contextmanager
def fake_hub(name: str, folder: Path) -> Iterator[FakeHub]:
    """Serve the files of a folder as the dataset `name`."""
    hub = FakeHub()
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    tree = [
        {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
        for path, data in files.items()
    ]
    siblings = [{"rfilename": path} for path in files]
    plain: dict[str, Any] = {
        f"/api/datasets/{name}": {"id": name, "sha": COMMIT, "siblings": siblings},
        f"/api/datasets/{name}/revision/main": {"id": name, "sha": COMMIT, "siblings": siblings},
        f"/api/datasets/{name}/tree/{COMMIT}": tree,
    }

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            """Be quiet."""

        def answer(self) -> None:
            path = self.path.partition("?")[0]
            hub.asked.append(f"{self.command} {path}")
            start = f"/datasets/{name}/resolve/{COMMIT}/"
            if path in plain:
                self.reply(200, json.dumps(plain[path]).encode(), "application/json")
            elif path.startswith(start) and (data := files.get(path.removeprefix(start))):
                self.reply(200, data, "application/octet-stream")
            else:
                self.reply(404, b"", "text/plain")

        def reply(self, status: int, data: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(data)))
            if status == 404:
                self.send_header("x-error-code", "RepoNotFound")
            self.send_header("x-repo-commit", COMMIT)
            self.send_header("etag", f'"{hashlib.sha1(data).hexdigest()}"')
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_HEAD = answer  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
