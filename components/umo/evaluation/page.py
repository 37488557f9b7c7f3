"""What the HTML pages share: their templates, pictures as data URIs, and how numbers read."""

import base64
import io
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from PIL import Image as Pillow

from umo.evaluation.metrics import Interval

TEMPLATES = Path(__file__).parent / "templates"


def environment(*folders: Path) -> Environment:
    """Templates of `folders` and of the evaluation; everything that is filled in is escaped."""
    made = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"signed": signed, "percent": percent, "interval": interval_text}
    return made


def webp_uri(image: Pillow.Image, *, quality: int) -> str:
    """A picture as a data URI, `quality` 0 to 100."""
    stream = io.BytesIO()
    image.save(stream, format="WEBP", quality=quality)
    return _uri("image/webp", stream.getvalue())


def svg_uri(svg: str) -> str:
    """An SVG document as a data URI."""
    return _uri("image/svg+xml", svg.encode())


def signed(value: float) -> str:
    """A difference in points: sign and one decimal."""
    return f"{value:+.1f}".replace("-", "−")


def interval_text(interval: Interval) -> str:
    """A difference in points with its interval."""
    return f"{signed(interval.mean)} [{signed(interval.low)}, {signed(interval.high)}]"


def percent(share: float | None) -> str:
    """A share; one that has no denominator is undefined."""
    return "undefined" if share is None else f"{100 * share:.0f} %".replace("-", "−")


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
