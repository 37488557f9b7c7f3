"""Crops of faces, and pictures as JPEG bytes."""

import cv2
import numpy as np
from numpy.typing import NDArray

from umo.data.schema import Image
from umo.errors import UmoError

JPEG_QUALITY = 95


def crop(pixels: Image, box: NDArray[np.float32], margin: float, side: int) -> Image:
    """The square around a face, `[side,side,3]`; near an edge it moves inside the picture.

    Args:
        pixels: The picture.
        box: `[4]` xyxy pixels.
        margin: Room on each side of the box, in parts of its longer side.
        side: Pixels of the result.
    """
    height, width = pixels.shape[:2]
    wanted = float((box[2:] - box[:2]).max()) * (1 + 2 * margin)
    length = max(2, min(round(wanted), height, width))
    corner = np.round((box[:2] + box[2:] - length) / 2).astype(int)
    left, top = np.clip(corner, 0, [width - length, height - length])
    square = pixels[top : top + length, left : left + length]
    method = cv2.INTER_AREA if length > side else cv2.INTER_CUBIC
    return cv2.resize(square, (side, side), interpolation=method).astype(np.uint8, copy=False)


def encode(pixels: Image) -> NDArray[np.uint8]:
    """JPEG bytes of a picture."""
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise UmoError(f"a picture of {pixels.shape} cannot be encoded")
    return np.asarray(data, np.uint8).reshape(-1)


def decode(data: NDArray[np.uint8]) -> Image:
    """The picture of JPEG bytes.

    Raises:
        UmoError: They are damaged.
    """
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if bgr is None:
        raise UmoError("a kept picture is damaged", hint="delete the work folder")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
