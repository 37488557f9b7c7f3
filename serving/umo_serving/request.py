"""What is asked of the engine and what it answers; without torch, for every process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from umo.errors import ExitCode, UmoError
from umo_serving.limits import check_request

STEPS = 12
GUIDANCE = 4.0
SEEDS = 2**63
"""Seeds are counted modulo this number."""

PROBE = "probe-"
"""How request ids of probes begin; they are in no metric and no log."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One call: a prompt, its people, and how to paint them."""

    prompt: str
    """What to paint."""
    references: Sequence[bytes]
    """Encoded pictures (PNG, JPEG, WebP), one of each person."""
    seed: int = 0
    """Of the first picture; picture `k` has `seed + k`."""
    steps: int = STEPS
    """Denoising steps."""
    guidance: float = GUIDANCE
    """Strength of the prompt."""
    width: int | None = None
    """Of a picture in pixels; None leaves it to the base."""
    height: int | None = None
    """Of a picture in pixels; None leaves it to the base."""
    images: int = 1
    """Number of pictures."""
    matches: bool = False
    """Whether to find the faces and match them to the references."""

    def check(self) -> None:
        """Refuse what is outside the limits.

        Raises:
            UsageError: A value is outside its limits; the line names both.
        """
        check_request(
            prompt=self.prompt,
            references=self.references,
            seed=self.seed,
            steps=self.steps,
            guidance=self.guidance,
            width=self.width,
            height=self.height,
            images=self.images,
        )

    @property
    def seeds(self) -> list[int]:
        """Seed of each picture."""
        return [(self.seed + number) % SEEDS for number in range(self.images)]


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The pictures of one call, and what made them."""

    pngs: Sequence[bytes]
    """PNG files, without metadata."""
    seeds: Sequence[int]
    """Seed of each picture."""
    version: str
    """Version of the model."""
    digest: str
    """sha256 of the model's weights."""
    matches: Sequence[dict[str, Any]]
    """For each picture, see `umo_serving.identity.match`; empty unless asked for."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a call is."""

    step: int
    """Steps done by every picture of the call."""
    steps: int
    """Steps in all."""
    preview: Callable[[], Sequence[bytes]]
    """Paints what each picture looks like so far, as PNG files."""


class CancelledError(UmoError):
    """Nobody waits for the answer any more."""

    def __init__(self) -> None:
        super().__init__("the caller went away", exit_code=ExitCode.INTERRUPTED)
