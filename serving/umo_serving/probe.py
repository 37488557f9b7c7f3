"""Real inferences that tell whether a server, or one of its models, can paint.

Triton calls a model ready whose process is dead, so nothing less than a picture is believed.
"""

import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from umo.errors import UmoError
from umo_serving.client.generation import Generation
from umo_serving.client.order import Order
from umo_serving.client.target import MODEL, Target
from umo_serving.client.transport import GrpcTransport, HttpTransport
from umo_serving.failures import parse
from umo_serving.folder import Settings
from umo_serving.request import PROBE

PICTURES = Path(__file__).parent / "probe"
"""Two people who do not exist."""
PROMPT = "Two people in a park"
TIMEOUT = 300.0


@dataclass(frozen=True, kw_only=True)
class Sign:
    """A sign of life."""

    seconds: float
    """From the call to the picture."""
    version: str
    """Version that painted it."""
    digest: str
    """sha256 of the weights."""
    score: float
    """Mean cosine of the two people and the faces found."""


def ask(
    settings: Settings, model: str, *, steps: int = 1, judge: bool = False, timeout: float = TIMEOUT
) -> Sign:
    """Let a model paint the two people.

    Args:
        settings: Of the server.
        model: `umo` for whatever callers get, or the Triton model of a version.
        steps: Denoising steps.
        judge: Whether to measure the identity score.
        timeout: Seconds to wait.

    Raises:
        UmoError: It did not answer, or with an error.
    """
    people = sorted(PICTURES.glob("*.png"))
    name = f"{PROBE}{uuid.uuid4()}"
    order = Order.of(
        PROMPT, people, {"seed": 0, "steps": steps, "matches": judge, "request_id": name}
    )
    start = time.monotonic()
    if model == MODEL:
        http = HttpTransport(Target(address=settings.http))
        try:
            made = Generation.of(order, http.infer(order.infer(model), timeout))
        finally:
            http.close()
    else:
        grpc = GrpcTransport(Target(address=settings.inner_grpc))
        try:
            *_, last = grpc.stream(order.infer(model), timeout)
            if "FAILURE" in last:
                raise parse(last["FAILURE"][0].decode())
            made = Generation.of(order, last)
        except ValueError:
            raise UmoError(f"{model} answered nothing") from None
        finally:
            grpc.close()
    return Sign(
        seconds=time.monotonic() - start,
        version=made.model_version,
        digest=made.model_digest,
        score=made.matches[0]["score"] if judge else 0.0,
    )
