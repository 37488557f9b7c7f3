import hashlib

import numpy as np
import pytest

from umo.config import from_mapping
from umo.data.accessories import Glasses, Hat, Worn, draw_worn
from umo.data.people import draw_person, draw_view
from umo.data.portrait import portray
from umo.data.render import SPLITS, TILE, RenderConfig, apart, person, recount, render_sample
from umo.data.shader import Light
from umo.errors import UsageError

FLAT = Light(direction=(0.0, 1.0, 0.0), key=0.0, ambient=1.0, tint=(1.0, 1.0, 1.0))
PINK = (1.0, 0.0, 1.0)
LIGHT = Light(direction=(0.0, 0.9, 0.43), key=0.7, ambient=0.45, tint=(1.0, 1.0, 1.0))


def portrait(number, *, light=LIGHT, view_seed=0, worn=None):
    who = draw_person(np.random.default_rng(number))
    view = draw_view(np.random.default_rng(view_seed), pose=0.1)
    return portray(who, view, light, tile=TILE, width=TILE, centre=TILE / 2, size=1.0, worn=worn)


def test_a_sample_is_the_same_every_time():
    config = RenderConfig(split="tune", samples=4, drift=0.5)
    one, two = render_sample(config, 3), render_sample(config, 3)
    assert one.target.tobytes() == two.target.tobytes()
    assert (one.prompt, one.identities) == (two.prompt, two.identities)
    assert one.boxes.tobytes() == two.boxes.tobytes()


def test_scenes_without_accessories_are_those_of_before_there_were_any():
    """sha256 of what the renderer painted before it could paint glasses and hats."""
    digest = hashlib.sha256()
    for index in range(6):
        sample = render_sample(RenderConfig(), index)
        for array in (sample.target, *sample.references, sample.boxes):
            digest.update(array.tobytes())
        digest.update(sample.prompt.encode())
    assert digest.hexdigest() == "45647a9d7451a275b6dd1ef277c3d95133c6110dcbe9689bfa1324b166b627d4"


def test_accessories_change_what_people_wear_and_nothing_else():
    bare, dressed = (
        render_sample(RenderConfig(people={3: 1.0}, accessories=share), 4) for share in (0.0, 0.7)
    )
    again = render_sample(RenderConfig(people={3: 1.0}, accessories=0.7), 4)
    assert again.target.tobytes() == dressed.target.tobytes()
    assert (bare.prompt, bare.identities) == (dressed.prompt, dressed.identities)
    assert np.abs(bare.boxes - dressed.boxes).max() < 8
    assert bare.target.tobytes() != dressed.target.tobytes()
    changed = (bare.target != dressed.target).any(2)
    assert 0.02 < changed.mean() < 0.5


def test_what_is_worn_is_drawn_for_each_picture_with_its_probability():
    worn = [draw_worn(np.random.default_rng(seed), 0.3) for seed in range(400)]
    assert 0.2 < np.mean([one.glasses is not None for one in worn]) < 0.4
    assert 0.2 < np.mean([one.hat is not None for one in worn]) < 0.4
    assert draw_worn(np.random.default_rng(0), 0.0) == Worn()
    everything = draw_worn(np.random.default_rng(0), 1.0)
    assert everything.glasses is not None
    assert everything.hat is not None


@pytest.mark.parametrize("style", ["beanie", "cap", "brim"])
@pytest.mark.parametrize("number", [2, 3, 10])
def test_a_hat_covers_the_top_of_the_head_and_leaves_the_face(number, style):
    bare = portrait(number, light=FLAT)
    hatted = portrait(number, light=FLAT, worn=Worn(hat=Hat(style=style, colour=PINK, band=PINK)))
    hat = _pink(hatted)
    column = slice(TILE // 2 - 8, TILE // 2 + 8)
    assert hat[2:10, column].all()
    face = slice(TILE // 2 - 8, TILE - 10)
    assert not hat[face, column].any()
    assert (hatted.colour[face, column] == bare.colour[face, column]).all()
    assert hat.sum(1).max() > 40


@pytest.mark.parametrize("number", [0, 3, 12])
def test_glasses_stand_around_the_eyes(number):
    clear, dark = (
        portrait(
            number,
            light=FLAT,
            worn=Worn(glasses=Glasses(colour=PINK, round=2.5, height=0.8, dark=dark)),
        )
        for dark in (False, True)
    )
    frame = _pink(clear)
    rows, columns = np.nonzero(frame)
    assert abs(rows.mean() - 0.44 * TILE) < 5
    assert abs(columns.mean() - TILE / 2) < 8
    assert np.ptp(columns) > 30
    assert np.ptp(rows) < 25
    lenses = (clear.colour != dark.colour).any(2)
    assert 100 < lenses.sum() < 700
    assert (clear.alpha == dark.alpha).all()


def _pink(picture):
    """Where a picture is pink, whatever its shade."""
    red, green, blue = np.moveaxis(picture.colour, -1, 0)
    return (red > 0.3) & (blue > 0.3) & (green < 0.5 * np.minimum(red, blue))


def test_another_seed_gives_other_scenes_of_the_same_people():
    assert person("tune", 5) == person("tune", 5)
    one = render_sample(RenderConfig(samples=1, seed=0), 0)
    two = render_sample(RenderConfig(samples=1, seed=1), 0)
    assert one.target.tobytes() != two.target.tobytes()


def test_splits_share_no_identity():
    people = {split: [person(split, number) for number in range(20)] for split in SPLITS}
    for split, other in (("pretrain", "tune"), ("pretrain", "held-out"), ("tune", "held-out")):
        assert not any(who in people[other] for who in people[split])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
def test_a_scene_shows_every_person_left_to_right(count):
    sample = render_sample(RenderConfig(samples=1, people={count: 1.0}), 0)
    assert sample.target.shape == (TILE, TILE * count, 3)
    assert len(sample.references) == len(sample.identities) == len(sample.boxes) == count
    assert all(reference.shape == (TILE, TILE, 3) for reference in sample.references)
    centres = sample.boxes[:, [0, 2]].mean(1)
    assert np.allclose(centres, TILE * (np.arange(count) + 0.5), atol=12)
    assert ((sample.boxes[:, 3] - sample.boxes[:, 1]) >= 64).all()
    words = ("one person", "two people", "three people", "four people", "", "six people")
    assert words[count - 1] in sample.prompt.lower()


def test_people_of_a_crowd_stand_in_front_of_one_another():
    alone, crowd = (
        render_sample(RenderConfig(samples=1, people={5: 1.0}, crowd=crowd), 0)
        for crowd in (0.0, 0.4)
    )
    assert alone.identities == crowd.identities
    assert crowd.target.shape == (TILE, 336, 3)
    centres = crowd.boxes[:, [0, 2]].mean(1)
    assert np.allclose(centres, TILE / 2 + 0.6 * TILE * np.arange(5), atol=12)
    with pytest.raises(UsageError, match="stand in front of one another"):
        apart(crowd)


def test_a_face_has_no_holes():
    for number in range(8):
        picture = portrait(number)
        left, top, right, bottom = (round(side) for side in picture.box)
        rows = slice(max(top, 0) + 8, bottom - 4)
        middle = (left + right) // 2
        assert (picture.alpha[rows, middle - 12 : middle + 12] == 1).all()


def test_light_from_the_left_brightens_the_left():
    from_left = Light(direction=(-0.8, 0.6, 0.0), key=0.8, ambient=0.3, tint=(1.0, 1.0, 1.0))
    lit = portrait(3, light=from_left).colour.sum(-1)
    assert lit[30:80, 20:48].mean() > 1.1 * lit[30:80, 48:76].mean()


def test_a_drifted_person_lies_between_two_people():
    one, two = person("tune", 1), person("tune", 2)
    half = one.blend(two, 0.5)
    assert half.skin == pytest.approx(tuple(np.mean([one.skin, two.skin], axis=0)))
    assert one.blend(two, 0.0).skin == pytest.approx(one.skin)


def test_drift_changes_the_targets_and_not_the_references():
    clean = render_sample(RenderConfig(samples=1, drift=0.0), 0)
    drifted = render_sample(RenderConfig(samples=1, drift=1.0), 0)
    assert clean.identities == drifted.identities
    assert clean.target.tobytes() != drifted.target.tobytes()


def test_relatives_are_nearer_to_each_other_than_strangers():
    strangers, relatives = (
        render_sample(RenderConfig(samples=1, people={2: 1.0}, likeness=likeness), 0)
        for likeness in (0.0, 0.9)
    )

    def unlike(sample):
        left, right = (reference.astype(float)[40:70, 30:66] for reference in sample.references)
        return np.abs(left.mean((0, 1)) - right.mean((0, 1))).sum()

    assert unlike(relatives) < unlike(strangers)
    assert not set(relatives.identities) & set(strangers.identities)
    family = {identity.partition("-of-")[2] for identity in relatives.identities}
    assert len(family) == 1
    assert "" not in family


def test_recount_changes_the_number_of_people_and_nothing_else():
    assert recount("A photo of two people in a park", 3) == "A photo of three people in a park"
    assert recount("Three people on a beach", 1) == "One person on a beach"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"people": {7: 1.0}}, "counts [7]"),
        ({"drift": 1.5}, "drift is 1.5"),
        ({"crowd": 0.6}, "crowd is 0.6"),
        ({"accessories": 1.1}, "accessories is 1.1"),
        ({"samples": 0}, "samples is 0"),
        ({"sample": 3}, "unknown key 'sample'"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(values, said):
    with pytest.raises(UsageError) as caught:
        from_mapping(RenderConfig, values)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_scene_cut_apart_shows_the_same_people_one_by_one():
    scene = render_sample(RenderConfig(people={3: 1.0}), 0)
    alone = apart(scene)
    assert (np.concatenate([one.target for one in alone], axis=1) == scene.target).all()
    assert [one.identities for one in alone] == [(who,) for who in scene.identities]
    assert all(one.prompt == recount(scene.prompt, 1) for one in alone)
    for number, one in enumerate(alone):
        assert one.references[0] is scene.references[number]
        left, top, right, bottom = one.boxes[0]
        assert 0 <= left < right <= TILE
        assert 0 <= top < bottom <= TILE
    assert len({one.key for one in alone}) == 3
