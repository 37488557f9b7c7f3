"""How a base wants its pictures: what it sees of a reference, and the size it paints by itself."""

from dataclasses import dataclass
from typing import Protocol

from PIL import Image, ImageOps

from umo.errors import UsageError

PIXELS = 1024**2
"""Most pixels of a picture of the published bases."""


class Layout(Protocol):
    """The habits of a base."""

    @property
    def pixels(self) -> int:
        """Most pixels of a picture."""

    def size(self, people: int) -> tuple[int, int]:
        """Width and height of a picture where nobody asked for a size."""

    def frame(self, reference: Image.Image, people: int) -> Image.Image:
        """What the base sees of a reference, upright RGB.

        Args:
            reference: Any picture.
            people: References in all.

        Raises:
            UsageError: It cannot see a picture of that shape.
        """


@dataclass(frozen=True)
class Tiles:
    """One square for each person, side by side; references are squares too."""

    side: int
    """Of a square, px."""
    most: int
    """Squares of a picture at most, counted along a side."""

    @property
    def pixels(self) -> int:
        """Most pixels of a picture."""
        return (self.most * self.side) ** 2

    def size(self, people: int) -> tuple[int, int]:
        """Width and height of a picture."""
        return max(people, 1) * self.side, self.side

    def frame(self, reference: Image.Image, people: int) -> Image.Image:
        """The middle of a reference, shrunk or grown to a square."""
        upright = ImageOps.exif_transpose(reference).convert("RGB")
        return ImageOps.fit(upright, (self.side, self.side), Image.Resampling.LANCZOS)


def picture_size(
    layout: Layout, people: int, width: int | None, height: int | None
) -> tuple[int, int]:
    """Width and height to paint: what was asked for, completed by the layout's own.

    Raises:
        UsageError: The picture has more pixels than the base paints.
    """
    own_width, own_height = layout.size(people)
    width, height = width or own_width, height or own_height
    if width * height > layout.pixels:
        raise UsageError(
            f"{width} x {height} is {width * height} pixels, this model paints at most "
            f"{layout.pixels}",
            hint=f"its own size is {own_width} x {own_height}",
        )
    return width, height
