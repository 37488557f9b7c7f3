"""Captions: what a target shows, in words. The default counts people; bring a model for more."""

import importlib
from typing import Protocol

from umo.data.schema import Image
from umo.errors import UsageError

TEMPLATE = "template"
COUNTS = {2: "Two", 3: "Three", 4: "Four", 5: "Five", 6: "Six"}


class Captioner(Protocol):
    """Says what a picture shows; the same picture gets the same words."""

    def __call__(self, picture: Image, people: int) -> str:
        """One line for an RGB picture `[H,W,3]` with this many people."""


def template(picture: Image, people: int) -> str:
    """A caption that is true of every picture with this many people."""
    return f"A photo of {COUNTS.get(people, str(people)).lower()} people"


def load_captioner(name: str) -> Captioner:
    """The captioner `template`, or the callable `module:name` of an installed package.

    Raises:
        UsageError: There is no such callable.
    """
    if name == TEMPLATE:
        return template
    module, colon, attribute = name.partition(":")
    try:
        found: Captioner = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"no captioner {name!r}: {error}", hint="use template, or module:name of a callable"
        ) from error
    if not (colon and callable(found)):
        raise UsageError(f"{name!r} is not a callable", hint="use template, or module:name")
    return found
