"""The pictures that come back, and where they come from."""

import json
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from umo.errors import UsageError
from umo.files import atomic_path
from umo_serving.client.order import Order
from umo_serving.client.wire import Outputs, unreadable


class Generation(list[Image.Image]):
    """The pictures of one call, and where they come from."""

    request_id: str
    """Name of the call."""
    prompt: str
    """What was asked for."""
    seeds: list[int]
    """Seed of each picture."""
    model_version: str
    """Version of the model that painted them."""
    model_digest: str
    """sha256 of that version's weights."""
    matches: list[dict[str, Any]]
    """For each picture the faces found, their references and cosines; empty unless asked for."""

    @classmethod
    def of(cls, order: Order, outputs: Outputs) -> "Generation":
        """Read an answer.

        Raises:
            UmoError: An output is missing or is not what it should be.
        """
        try:
            made = cls(_decoded(png) for png in outputs["PICTURES"])
            made.request_id, made.prompt = order.request_id, order.prompt
            made.seeds = [int(seed) for seed in outputs["SEED"]]
            made.model_version = outputs["MODEL_VERSION"][0].decode()
            made.model_digest = outputs["MODEL_DIGEST"][0].decode()
            made.matches = json.loads(outputs["MATCHES"][0] or "[]")
            if len(made.seeds) != len(made):
                raise ValueError(f"{len(made.seeds)} seeds of {len(made)} pictures")
        except (LookupError, ValueError, OSError) as error:
            raise unreadable(error) from error
        return made

    def save(self, path: Path | str) -> list[Path]:
        """Write the pictures as PNG, with prompt, seed, version and digest in their metadata.

        Args:
            path: Where to; several pictures become `name-1.png`, `name-2.png` and so on.

        Returns:
            The files.

        Raises:
            UsageError: The name does not end in `.png`.
            UmoError: A file cannot be written.
        """
        path = Path(path)
        check_name(path)
        one = len(self) == 1
        paths = [
            path if one else path.with_stem(f"{path.stem}-{number}")
            for number in range(1, len(self) + 1)
        ]
        for picture, seed, file in zip(self, self.seeds, paths, strict=True):
            with atomic_path(file) as staged:
                picture.save(staged, format="PNG", pnginfo=self._metadata(seed))
        return paths

    def _metadata(self, seed: int) -> PngInfo:
        info = PngInfo()
        info.add_itxt("prompt", self.prompt)
        info.add_text("seed", str(seed))
        info.add_text("model_version", self.model_version)
        info.add_text("model_digest", self.model_digest)
        info.add_text("request_id", self.request_id)
        return info


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a streamed call is."""

    step: int
    """Denoising steps done."""
    steps: int
    """Denoising steps in all."""
    previews: list[Image.Image]
    """What each picture looks like so far; most steps have none."""
    result: Generation | None
    """The pictures, in the last one."""

    @classmethod
    def of(cls, order: Order, outputs: Outputs, before: "Progress | None") -> "Progress":
        """Read an answer of a stream.

        Args:
            order: The call.
            outputs: The answer.
            before: What the answer before it said; the last answer counts no steps.

        Raises:
            UmoError: An output is missing or is not what it should be.
        """
        if "PICTURES" in outputs:
            steps = before.steps if before else 0
            return cls(step=steps, steps=steps, previews=[], result=Generation.of(order, outputs))
        try:
            return cls(
                step=int(outputs["STEP"][0]),
                steps=int(outputs["STEPS"][0]),
                previews=[_decoded(png) for png in outputs["PREVIEWS"]],
                result=None,
            )
        except (LookupError, ValueError, OSError) as error:
            raise unreadable(error) from error


def check_name(path: Path) -> None:
    """Refuse to write pictures under a name that promises another format.

    Raises:
        UsageError: The name does not end in `.png`.
    """
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path} does not end in .png", hint="only PNG carries the metadata")


def _decoded(png: bytes) -> Image.Image:
    picture = Image.open(BytesIO(png), formats=("PNG",))
    picture.load()
    return picture
