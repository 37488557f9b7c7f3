"""The judge ends a run that pleases only its reward, and says so before."""

import json

from umo.training.vigil import Vigil


def watch(*looks: tuple[float, float]) -> Vigil:
    vigil = Vigil()
    for reward, judge in looks:
        vigil.look(reward, judge)
    return vigil


def test_both_rise() -> None:
    vigil = watch(*((step / 10, step / 20) for step in range(12)))
    assert (vigil.still, vigil.alarm(3), vigil.over(3)) == (0, False, False)


def test_the_reward_rises_and_the_judge_does_not() -> None:
    vigil = watch((0.1, 0.3), *((0.1 + step / 10, 0.3 - step / 50) for step in range(1, 6)))
    assert (vigil.still, vigil.alarm(5), vigil.alarm(6)) == (5, True, False)
    assert vigil.over(5)


def test_both_fall() -> None:
    vigil = watch(*((0.5 - step / 10, 0.3 - step / 50) for step in range(6)))
    assert (vigil.over(5), vigil.alarm(5)) == (True, False)


def test_one_bad_batch_is_forgiven() -> None:
    rising = [(0.1 * step, 0.1 * step) for step in range(10)]
    rising[5] = (0.0, -0.2)
    assert watch(*rising).still == 0


def test_its_state_makes_it_again() -> None:
    vigil = watch((0.1, 0.3), (0.2, 0.2))
    again = Vigil(**json.loads(json.dumps(vigil.state())))
    assert again == vigil
    assert Vigil(**Vigil().state()) == Vigil()
