"""The sizes that FLUX.2 takes references in and paints pictures in."""

from diffusers.pipelines.flux2.image_processor import Flux2ImageProcessor
from PIL import Image, ImageOps

from umo.bases.layout import PIXELS
from umo.bases.protocol import TOKEN
from umo.errors import UsageError

SIDE = 1024
"""Of a picture, px."""


class Flux2Layout:
    """FLUX.2's habits (a `Layout`); the references' are those of diffusers' pipeline."""

    pixels = PIXELS

    def __init__(self) -> None:
        self._processor = Flux2ImageProcessor(vae_scale_factor=TOKEN)

    def size(self, people: int) -> tuple[int, int]:
        """Width and height of a picture."""
        return SIDE, SIDE

    def frame(self, reference: Image.Image, people: int) -> Image.Image:
        """At most a megapixel, then cropped about its middle to multiples of 16 px.

        Raises:
            UsageError: It is smaller than 64 px or longer than eight times its width.
        """
        processor = self._processor
        upright = ImageOps.exif_transpose(reference).convert("RGB")
        try:
            processor.check_image_input(upright)
        except ValueError as error:
            raise UsageError(f"FLUX.2 cannot see a reference: {error}") from error
        if upright.width * upright.height > PIXELS:
            upright = processor._resize_to_target_area(upright, PIXELS)
        width, height = (side // TOKEN * TOKEN for side in upright.size)
        cropped: Image.Image = processor.resize(upright, height, width, resize_mode="crop")
        return cropped
