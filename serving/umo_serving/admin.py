"""Triton's admin interface: load and unload models; open to whoever has the key."""

import json
import urllib.error
import urllib.request
from typing import Any

from umo.errors import DeniedError, ExitCode, UmoError

HEADER = "umo-admin-key"
RESTRICTED = "model-repository,shared-memory,trace,logging"
"""What needs the key."""
LOAD_SECONDS = 900.0
TALK_SECONDS = 10.0


class Admin:
    """A server's admin interface.

    Args:
        address: `host:port` of its HTTP.
        key: Its admin key.
    """

    def __init__(self, address: str, key: str) -> None:
        self._url = f"http://{address}/v2"
        self._key = key

    def ready(self) -> bool:
        """Whether the server answers; its models may not."""
        try:
            self._call("GET", "/health/ready", TALK_SECONDS)
        except UmoError:
            return False
        return True

    def load(self, model: str) -> None:
        """Load a model, or load it again; returns when it is there.

        Raises:
            UmoError: It does not load, and an older state of it goes on serving; or the server
                cannot be reached.
            DeniedError: The key is wrong.
        """
        self._call("POST", f"/repository/models/{model}/load", LOAD_SECONDS)

    def unload(self, model: str) -> None:
        """Unload a model once its calls are answered.

        Raises:
            UmoError: The server cannot be reached.
            DeniedError: The key is wrong.
        """
        self._call("POST", f"/repository/models/{model}/unload", LOAD_SECONDS)

    def states(self) -> dict[str, str]:
        """State of every model that was ever loaded: `READY`, `UNAVAILABLE` and so on.

        Raises:
            UmoError: The server cannot be reached.
            DeniedError: The key is wrong.
        """
        index: list[dict[str, Any]] = self._call("POST", "/repository/index", TALK_SECONDS)
        return {entry["name"]: entry["state"] for entry in index if "state" in entry}

    def _call(self, method: str, path: str, timeout: float) -> Any:
        request = urllib.request.Request(
            self._url + path,
            data=b"{}" if method == "POST" else None,
            method=method,
            headers={HEADER: self._key},
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(request, timeout=timeout) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            message = _message(error.read()) or f"HTTP {error.code}"
            if error.code == 403:
                raise DeniedError(
                    f"the server refuses: {message}", hint="is the key its own?"
                ) from error
            raise UmoError(f"{path.rpartition('/')[2]} failed: {message}") from error
        except OSError as error:
            raise UmoError(
                f"cannot reach {self._url}: {error}",
                exit_code=ExitCode.INTERRUPTED,
                retryable=True,
            ) from error


def _message(body: bytes) -> str:
    try:
        return " ".join(str(json.loads(body)["error"]).split())
    except (ValueError, KeyError, TypeError):
        return ""
