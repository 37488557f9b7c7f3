"""What a call asks for, checked before it is sent."""

import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, TypedDict

from PIL import Image, ImageOps

from umo.errors import NotFoundError, UsageError
from umo_serving.client.wire import INPUTS, Infer, Tensor
from umo_serving.limits import check_request

Picture = Image.Image | Path | str | bytes
"""A reference: a PIL image, the path of a picture file, or the file's bytes."""


class Options(TypedDict, total=False):
    """What a call may say beside prompt and references; the server chooses what is left out."""

    seed: int | None
    """Seed of the first picture; drawn by the client when left out."""
    steps: int | None
    """Denoising steps."""
    guidance: float | None
    """Strength of the prompt."""
    width: int | None
    """Width of a picture in pixels."""
    height: int | None
    """Height of a picture in pixels."""
    images: int | None
    """Number of pictures, 1 when left out."""
    matches: bool
    """Whether to find the faces and match them to the references."""
    request_id: str | None
    """Name of the call in logs; a call that repeats it gets the first one's pictures."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """A checked call. It carries its seed and its request id, so that a repetition is the same."""

    prompt: str
    references: tuple[bytes, ...]
    request_id: str
    seed: int
    options: Options

    @classmethod
    def of(cls, prompt: str, references: Sequence[Picture], options: Options) -> "Order":
        """Check a call as the server will.

        Raises:
            UsageError: A value is outside its limits; the line names both.
            NotFoundError: The file of a reference does not exist.
        """
        unknown = sorted(options.keys() - Options.__annotations__.keys())
        if unknown:
            raise UsageError(
                f"unknown option {unknown[0]!r}",
                hint=f"known: {', '.join(Options.__annotations__)}",
            )
        if isinstance(references, str | bytes | Path | Image.Image):
            raise UsageError("references is one picture", hint="give a list, one picture a person")
        encoded = tuple(_encoded(number, picture) for number, picture in enumerate(references, 1))
        seed = options.get("seed")
        check_request(
            prompt=prompt,
            references=encoded,
            seed=seed,
            steps=options.get("steps"),
            guidance=options.get("guidance"),
            width=options.get("width"),
            height=options.get("height"),
            images=options.get("images"),
        )
        return cls(
            prompt=prompt,
            references=encoded,
            request_id=options.get("request_id") or str(uuid.uuid4()),
            seed=secrets.randbelow(2**31) if seed is None else seed,
            options=options,
        )

    def infer(self, model: str, trace: Mapping[str, str] | None = None) -> Infer:
        """The call as KServe v2 tensors.

        Args:
            model: Name of the model.
            trace: Headers that carry the trace that it is part of.
        """
        values: dict[str, Sequence[Any]] = {
            **{name.upper(): [value] for name, value in self.options.items() if value is not None},
            "PROMPT": [self.prompt.encode()],
            "REFERENCES": self.references,
            "SEED": [self.seed],
        }
        tensors = (Tensor(k, INPUTS[k], values[k]) for k in INPUTS if k in values)
        return Infer(model, self.request_id, tuple(tensors), trace or {})


def _encoded(number: int, picture: Picture) -> bytes:
    match picture:
        case bytes():
            return picture
        case Image.Image():
            stream = BytesIO()
            mode = "RGBA" if picture.has_transparency_data else "RGB"
            ImageOps.exif_transpose(picture).convert(mode).save(stream, format="PNG")
            return stream.getvalue()
        case str() | Path():
            try:
                return Path(picture).read_bytes()
            except FileNotFoundError:
                raise NotFoundError(f"reference {number}: no file at {picture}") from None
            except (OSError, ValueError) as error:
                raise UsageError(f"reference {number}: cannot read {picture}: {error}") from None
        case _:
            raise UsageError(
                f"reference {number} is a {type(picture).__name__}",
                hint="give a PIL image, a path or bytes",
            )
