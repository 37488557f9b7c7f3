from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from umo.bases.omnigen2_pictures import (
    fit_reference,
    prepare_reference,
    reference_size,
)
from umo.errors import UsageError


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1024, 1024), (1024, 1024)),
        ((100, 50), (96, 48)),
        ((2000, 1000), (1024, 512)),
        ((3000, 2900), (1024, 976)),
        ((1000, 1030), (992, 1024)),
    ],
)
def test_a_reference_keeps_within_both_limits_and_is_never_enlarged(size, expected):
    assert reference_size(size) == expected


def test_a_limit_of_pixels_counts_before_that_of_sides():
    assert reference_size((900, 900), most_pixels=512**2) == (512, 512)
    assert reference_size((900, 600), most_side=300) == (288, 192)


@pytest.mark.parametrize("size", [(10, 200), (20, 2000)])
def test_a_picture_too_narrow_is_one_clear_line(size):
    with pytest.raises(UsageError, match="too small or too narrow") as caught:
        reference_size(size)
    assert "\n" not in str(caught.value)


def picture(height, width):
    rng = np.random.default_rng(0)
    return Pillow.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))


def floats(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 127.5 - 1


def test_a_reference_is_turned_upright_and_resized_by_lanczos_without_a_crop():
    image = picture(50, 100)
    upright = image.transpose(Pillow.Transpose.ROTATE_270)
    exif = Pillow.Exif()
    exif[0x0112] = 6
    stream = BytesIO()
    image.save(stream, "PNG", exif=exif)
    turned = Pillow.open(stream)
    expected = upright.resize((48, 96), Pillow.Resampling.LANCZOS)
    prepared = prepare_reference(turned)
    assert prepared.size == (48, 96)
    assert prepared.tobytes() == expected.tobytes() == prepare_reference(upright).tobytes()


def test_a_tensor_is_fitted_as_its_picture_is():
    image = picture(50, 100)
    tensor = floats(image)
    assert torch.equal(fit_reference(tensor), floats(prepare_reference(image)))
    whole = tensor[:, :48, :96]
    assert fit_reference(whole) is whole
