"""What every measure is: a model's word on the pictures of a prompt.

Values are 0 to 100, or as the formula of the measure says. A picture that cannot be measured has
none; it is never 0 for want of a model.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers.utils import logging

from umo.data.schema import Image
from umo.errors import NotFoundError, UsageError
from umo.evaluation import criteria
from umo.files import sha256
from umo.hub import HUB

logging.disable_progress_bar()

MEASURES = tuple(criteria.MEASURES)
"""Every measure, by its name in scores.json."""


@dataclass(frozen=True, kw_only=True)
class Painted:
    """A prompt and what a model painted for it."""

    key: str
    """Of the item."""
    prompt: str
    pictures: Sequence[Image]
    """`[H,W,3]` uint8 RGB, in order."""


class Measure(Protocol):
    """Measures pictures."""

    name: str
    """One of `MEASURES`."""

    @property
    def made(self) -> Mapping[str, str]:
        """What measures: its files or names, with digests."""

    def of(self, painted: Painted) -> list[float | None]:
        """A value for each picture, None where there is nothing to measure."""


def load(part: Any, source: str, *, besides: tuple[str, ...] = (), **options: Any) -> Any:
    """A model of transformers, float32, in which every weight was found; of safetensors alone.

    Args:
        part: A class with `from_pretrained`.
        source: A folder, or `hub:NAME`.
        besides: Beginnings of names of weights that belong to other models in the same file.
        options: More for `from_pretrained`.

    Raises:
        NotFoundError: There is no such folder.
        UsageError: It holds no such model, or weights are missing, unexpected or of other shapes.
    """
    name, local = _place(source)
    settings = {"local_files_only": local, "use_safetensors": True, "dtype": torch.float32}
    try:
        with _quietly():
            model, found = part.from_pretrained(
                name, output_loading_info=True, **settings, **options
            )
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(
            f"{source} cannot be read as {part.__name__}: {reason}",
            hint="a pytorch_model.bin becomes model.safetensors by `umo evaluate convert`",
        ) from error
    found["unexpected_keys"] = [
        key for key in found["unexpected_keys"] if not str(key).startswith(besides)
    ]
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if keys := sorted(map(str, found[kind])):
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            raise UsageError(
                f"{source} is no {part.__name__}, it has {kind.replace('_', ' ')}: "
                f"{', '.join(keys[:3])}{more}"
            )
    device = torch.accelerator.current_accelerator() or torch.device("cpu")
    return model.eval().requires_grad_(False).to(device)


def load_processor(part: Any, source: str) -> Any:
    """What prepares text and pictures for the model of the same source.

    Raises:
        NotFoundError: There is no such folder.
        UsageError: It holds no settings of a processor.
    """
    name, local = _place(source)
    try:
        with _quietly():
            return part.from_pretrained(name, local_files_only=local)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{source} has no {part.__name__}: {reason}") from error


def origin(source: str, model: Any) -> str:
    """What a model is known by: sha256 of its weights, or its name and commit on the hub."""
    if source.startswith(HUB):
        return f"{source.removeprefix(HUB)}@{model.config._commit_hash}"
    files = sorted(Path(source).expanduser().glob("*.safetensors"))
    return ", ".join(f"{file.name} {sha256(file)}" for file in files)


@contextmanager
def _quietly() -> Iterator[None]:
    """What transformers reports of a model is an error here, or of no interest."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _place(source: str) -> tuple[str, bool]:
    """What `from_pretrained` takes, and whether it must be on disk."""
    if source.startswith(HUB):
        return source.removeprefix(HUB), False
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise NotFoundError(f"no model folder {folder}", hint=f"or give {HUB}NAME to download one")
    return str(folder), True
