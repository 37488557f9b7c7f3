"""Replies kept for a while, so that a call that is repeated is not painted again."""

import hashlib
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass

from umo.errors import DiffersError
from umo_serving.request import Reply, Request

KEPT_SECONDS = 600.0
KEPT_BYTES = 64 * 2**20


@dataclass(eq=False)
class _Kept:
    request: bytes
    reply: Future[Reply]
    since: float
    size: int = 0


class Replies:
    """Replies by request id, for ten minutes or until 64 MiB are full."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def claim(self, request_id: str, request: Request) -> tuple[Future[Reply], bool]:
        """The reply of a call, and whether the caller has to make it.

        Raises:
            DiffersError: Another request had this id.
        """
        content = _digest(request)
        with self._lock:
            self._forget()
            kept = self._kept.get(request_id)
            if kept is None:
                reply: Future[Reply] = Future()
                self._kept[request_id] = _Kept(content, reply, time.monotonic())
                return reply, True
        if kept.request != content:
            raise DiffersError(
                f"request id {request_id} was another request", hint="give each call its own id"
            )
        return kept.reply, False

    def settle(self, request_id: str, outcome: Reply | BaseException) -> None:
        """Answer everyone who waits for a call; only a success is kept."""
        with self._lock:
            kept = self._kept[request_id]
            if isinstance(outcome, BaseException):
                del self._kept[request_id]
            else:
                kept.size = sum(map(len, outcome.pngs))
        if isinstance(outcome, BaseException):
            kept.reply.set_exception(outcome)
        else:
            kept.reply.set_result(outcome)

    def _forget(self) -> None:
        """Drop what is too old or too much, oldest first; what is not settled stays."""
        full = sum(kept.size for kept in self._kept.values())
        oldest = time.monotonic() - KEPT_SECONDS
        for request_id, kept in list(self._kept.items()):
            if kept.since > oldest and full <= KEPT_BYTES:
                break
            if kept.reply.done():
                full -= kept.size
                del self._kept[request_id]


def _digest(request: Request) -> bytes:
    plain = hashlib.sha256()
    for reference in request.references:
        plain.update(hashlib.sha256(reference).digest())
    facts = {**vars(request), "references": len(request.references)}
    plain.update(repr(sorted(facts.items())).encode())
    return plain.digest()
