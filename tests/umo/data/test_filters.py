from dataclasses import replace

import numpy as np
import pytest

from umo.data.filters import with_faces
from umo.data.render import RenderConfig, render_samples
from umo.faces.packs import load_pack


@pytest.fixture(scope="module")
def samples():
    return list(render_samples(RenderConfig(split="held-out", samples=3, people={2: 1.0})))


def test_samples_without_a_face_where_one_belongs_are_rejected(samples):
    good, other, third = samples
    wall = np.full_like(good.references[0], 128)
    faceless = replace(other, references=(wall, other.references[1]))
    crowded = replace(third, target=np.concatenate((third.target, third.target), axis=1))
    rejected: list[str] = []
    kept = list(with_faces([good, faceless, crowded], load_pack("open").detector, rejected.append))
    assert kept == [good]
    assert rejected == [other.key, third.key]
