"""One call in the hands of an endpoint."""

import hashlib
import time
import traceback
import uuid
from dataclasses import dataclass, field
from typing import Any

from umo.errors import UmoError
from umo_serving.request import Reply, Request
from umo_serving.routes import Target


@dataclass(eq=False, kw_only=True)
class Call:
    """A call that is not answered yet."""

    request_id: str
    """What the caller named it, or a name of ours."""
    repeatable: bool
    """Whether a call with this id and content gets the same pictures."""
    sender: Any
    """Triton's response sender."""
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    """What the version calls it; unlike the request id it is never given twice."""
    since: float = field(default_factory=time.monotonic)
    """When it came."""
    request: Request | None = None
    """What is asked for, once it is read."""
    owner: bool = False
    """Whether others wait for its answer under the same request id."""
    target: Target | None = None
    """Who answers, once it is chosen."""
    asked: float = 0.0
    """When the version was asked; 0 before."""
    process: int = 0
    """Process of the version; 0 until it says so."""
    abandoned: bool = False
    """Whether the caller went away."""

    @property
    def seed(self) -> int:
        """The seed of a caller who gives none: a repeated call has the same."""
        return int.from_bytes(hashlib.sha256(self.request_id.encode()).digest()[:4])

    @property
    def seconds(self) -> float:
        """Since it came."""
        return time.monotonic() - self.since

    def facts(self, outcome: Reply | Exception) -> dict[str, Any]:
        """What a log may say about it: no prompt and no picture."""
        facts: dict[str, Any] = {
            "request_id": self.request_id,
            "seconds": round(self.seconds, 3),
        }
        if self.request:
            facts |= {
                "references": len(self.request.references),
                "images": self.request.images,
                "steps": self.request.steps,
            }
        if isinstance(outcome, UmoError):
            facts["error"] = str(outcome)
        elif isinstance(outcome, Exception):
            facts["error"] = "".join(traceback.format_exception(outcome))
        return facts
