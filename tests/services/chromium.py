"""Headless Chromium over its DevTools protocol: what a person sees, presses and what is requested.

https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import websocket

from services.processes import daemon

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-sync",
    # A sandboxed frame stays in this process, so that scripts can be evaluated in it.
    "--disable-features=IsolateSandboxedIframes",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)
SECONDS = 300
"""Patience for one answer: test machines are busy."""
CODES = {"Enter": ("\r", 13), "Escape": ("", 27), "ArrowLeft": ("", 37), "ArrowRight": ("", 39)}


class Page:
    """One tab."""

    def __init__(self, socket: websocket.WebSocket) -> None:
        self._socket = socket
        self._count = 0
        self.requests: list[str] = []
        """URLs that the page asked for."""
        self.errors: list[str] = []
        """Exceptions and errors of its scripts."""
        self.frames: list[int] = []
        """Script contexts in the order they were made, the page's own first."""
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self._count += 1
        self._socket.send(json.dumps({"id": self._count, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._count:
                assert "error" not in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result
            self._note(message["method"], message["params"])

    def open(self, url: str) -> None:
        """Go to a page and wait until it is loaded."""
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def evaluate(self, script: str, *, frame: int | None = None) -> Any:
        """The value of a script, in the page or in one of its frames."""
        where = {} if frame is None else {"contextId": frame}
        done = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, **where
        )
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait(self, script: str, *, frame: int | None = None) -> None:
        """Wait until a script is true."""
        condition = f"""new Promise((done, late) => {{
            const end = Date.now() + {SECONDS - 30} * 1000;
            const look = () => ({script}) ? done(true)
                : Date.now() > end ? late(new Error("never: " + {json.dumps(script)}))
                : setTimeout(look, 50);
            look();
        }})"""
        self.evaluate(condition, frame=frame)

    def frame(self, script: str) -> int:
        """Wait for a frame in which a script is true; its context."""
        for _ in range(SECONDS * 5):
            self.evaluate("new Promise((done) => setTimeout(done, 200))")
            for context in self.frames[1:]:
                if self.evaluate(script, frame=context):
                    return context
        raise TimeoutError(f"no frame with {script}")

    def press(self, key: str) -> None:
        """Press and release a key."""
        text, code = CODES.get(key, (key, ord(key.upper()[0])))
        facts = {"key": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **facts)
        self.call("Input.dispatchKeyEvent", type="keyUp", **facts)

    def click(self, x: float, y: float) -> None:
        """Press and release the mouse at a point of the window."""
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def resize(self, width: int, height: int) -> None:
        """Give the window a size in pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def screenshot(self, path: Path) -> None:
        """Save what the window shows as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def _note(self, event: str, facts: dict[str, Any]) -> None:
        match event:
            case "Network.requestWillBeSent":
                self.requests.append(facts["request"]["url"])
            case "Runtime.executionContextsCleared":
                self.frames.clear()
            case "Runtime.executionContextCreated":
                self.frames.append(facts["context"]["id"])
            case "Runtime.executionContextDestroyed":
                self.frames.remove(facts["executionContextId"])
            case "Runtime.exceptionThrown":
                self.errors.append(str(facts["exceptionDetails"]))
            case "Log.entryAdded" if facts["entry"]["level"] == "error":
                self.errors.append(str(facts["entry"]))


@contextmanager
def chromium(profile: Path) -> Iterator[Page]:
    """A browser with one empty tab; `profile` is its own new folder."""
    assert PROGRAM, "Chromium is not installed"
    port = profile / "DevToolsActivePort"
    command = [PROGRAM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    profile.mkdir(parents=True)
    with daemon(
        command,
        log=profile / "log",
        ready=lambda: port.is_file() and "\n" in port.read_text(),
        seconds=SECONDS,
    ):
        number = int(port.read_text().splitlines()[0])
        with urlopen(f"http://127.0.0.1:{number}/json/list", timeout=SECONDS) as reply:
            tabs = json.load(reply)
        address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
        socket = websocket.create_connection(address, timeout=SECONDS)
        try:
            yield Page(socket)
        finally:
            socket.close()
