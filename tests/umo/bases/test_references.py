import pytest
from PIL import Image

from umo.bases.references import uno_reference, uno_side


@pytest.mark.parametrize(
    ("size", "side", "result"),
    [
        ((1000, 700), 512, (512, 352)),
        ((333, 1000), 512, (160, 512)),
        ((100, 50), 512, (512, 256)),
        ((700, 1000), 320, (224, 320)),
        ((320, 320), 320, (320, 320)),
        ((4000, 20), 320, (320, 16)),
    ],
)
def test_sizes_are_unos(size: tuple[int, int], side: int, result: tuple[int, int]) -> None:
    assert uno_reference(Image.new("RGB", size), side).size == result


def test_one_reference_is_larger_than_each_of_several() -> None:
    assert [uno_side(count) for count in (1, 2, 4)] == [512, 320, 320]


def test_the_crop_is_about_the_middle() -> None:
    picture = Image.new("L", (320, 330), 0)
    picture.paste(255, (0, 0, 320, 9))
    cropped = uno_reference(picture, 330)
    assert cropped.mode == "RGB"
    assert cropped.size == (320, 320)
    assert cropped.getpixel((100, 0)) == (255, 255, 255)
    assert cropped.getpixel((100, 8)) == (0, 0, 0)


def test_a_turned_photo_is_put_upright() -> None:
    picture = Image.new("RGB", (640, 320))
    picture.getexif()[0x0112] = 6
    exif = picture.getexif()
    picture.info["exif"] = exif.tobytes()
    assert uno_reference(picture, 320).size == (160, 320)
