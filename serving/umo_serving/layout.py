"""How a base wants its pictures: the size it paints by itself, and its references' sizes.

The embedded base paints tiles of 96 px, one for each person, and takes references of one tile. FLUX
takes UNO's: the long side of a reference is 512 px if it is alone and 320 px otherwise, sides are
cut to multiples of 16 px in the middle, and a picture is 512 x 512 px unless said otherwise.
"""

from dataclasses import dataclass

from PIL import Image as Pillow
from PIL import ImageOps

from umo.bases.references import ALONE, TOGETHER, uno_reference
from umo.errors import UsageError
from umo_serving.limits import PIXELS

LANCZOS = Pillow.Resampling.LANCZOS


@dataclass(frozen=True)
class Tiles:
    """One tile for each person, side by side."""

    tile: int
    """Side of a tile in pixels."""
    pixels: int
    """Most pixels of a picture."""

    def size(self, people: int) -> tuple[int, int]:
        """Width and height of a picture."""
        return max(people, 1) * self.tile, self.tile

    def frame(self, reference: Pillow.Image, people: int) -> Pillow.Image:
        """The middle of a reference, shrunk or grown to a tile."""
        return ImageOps.fit(reference, (self.tile, self.tile), LANCZOS)


@dataclass(frozen=True)
class Canvas:
    """One canvas, references of their own shape."""

    side: int
    """Of a picture, and the long side of a lone reference, in pixels."""
    crowd: int
    """Long side of a reference that is not alone, in pixels."""
    pixels: int
    """Most pixels of a picture."""

    def size(self, people: int) -> tuple[int, int]:
        """Width and height of a picture."""
        return self.side, self.side

    def frame(self, reference: Pillow.Image, people: int) -> Pillow.Image:
        """A reference as UNO takes it, with the long side that its number of people asks for."""
        return uno_reference(reference, self.side if people == 1 else self.crowd)


Layout = Tiles | Canvas

EMBEDDED = Tiles(tile=96, pixels=(4 * 96) ** 2)
FLUX = Canvas(side=ALONE, crowd=TOGETHER, pixels=PIXELS)


def layout_of(base: str) -> Layout:
    """The layout of a base by its name."""
    return EMBEDDED if base == "embedded" else FLUX


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
