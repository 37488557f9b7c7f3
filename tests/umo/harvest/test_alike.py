"""A copy has the fingerprint of its original; another picture has not."""

import io

import numpy as np
from PIL import Image as Pillow

from services.footage import scene
from umo.harvest.alike import apart, fingerprint, originals


def test_a_scaled_and_compressed_copy_is_alike_and_another_moment_is_not() -> None:
    first = scene([0, 1], [0.1, -0.1], "in a library")
    stream = io.BytesIO()
    Pillow.fromarray(first).resize((200, 100)).save(stream, format="JPEG", quality=40)
    copy = np.array(Pillow.open(stream))
    later = scene([0, 1], [-0.3, 0.3], "in a library")
    marks = [fingerprint(picture) for picture in (first, copy, later)]
    assert apart(marks[0], marks[1]) <= 10
    assert apart(marks[0], marks[2]) > 10


def test_the_first_of_each_kind_stays() -> None:
    rng = np.random.default_rng(0)
    marks = rng.integers(0, 2**63, (1200, 4), np.uint64)
    marks[700] = marks[3] ^ np.array([0b111, 0, 0, 0], np.uint64)
    marks[1100] = marks[3] ^ np.array([0, 0, 0b1, 0], np.uint64)
    marks[1101] = marks[700] ^ np.array([0b1111111111 << 20, 0, 0, 0], np.uint64)
    found = originals(marks, bits=10)
    assert np.flatnonzero(found != np.arange(1200)).tolist() == [700, 1100]
    assert found[700] == found[1100] == 3
