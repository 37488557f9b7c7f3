import re

import pytest

from umo.errors import UsageError
from umo_serving.deployer.policy import Policy
from umo_serving.deployer.trial import Counts, fault

POLICY = Policy()
CHAMPION = Counts(calls=100, failed=1, painted=99, seconds=99.0, measured=50, score=35.0)


def test_a_challenger_that_is_no_worse_goes_on() -> None:
    assert fault(CHAMPION, CHAMPION, POLICY) == ""
    assert fault(CHAMPION, Counts(), POLICY) == ""
    assert fault(Counts(), CHAMPION, POLICY) == ""


@pytest.mark.parametrize(
    ("challenger", "reason"),
    [
        (Counts(calls=20, failed=2), "10% of its calls failed, of the champion's 1%"),
        (
            Counts(calls=20, painted=20, seconds=40.0),
            r"it took 2\.00 s a call, the champion 1\.00 s",
        ),
        (
            Counts(calls=20, painted=20, seconds=20.0, measured=20, score=12.0),
            r"its identity score was 0\.600, the champion's 0\.700",
        ),
        (
            Counts(calls=20, painted=20, seconds=20.0, measured=20, score=-2.0),
            r"its identity score was -0\.100",
        ),
    ],
)
def test_a_worse_challenger_is_stopped_for_a_reason(challenger: Counts, reason: str) -> None:
    assert re.match(reason, fault(CHAMPION, challenger, POLICY))


def test_a_champion_that_fails_as_much_is_no_yardstick_for_failing() -> None:
    failing = Counts(calls=10, failed=5)
    assert fault(failing, failing, POLICY) == ""
    assert fault(Counts(calls=10), Counts(calls=10, failed=5), POLICY)


def test_a_server_that_was_started_again_counts_anew() -> None:
    before = Counts(calls=50, failed=3, painted=47, seconds=20.0)
    assert Counts(calls=60, failed=4, painted=56, seconds=25.0).since(before) == Counts(
        calls=10, failed=1, painted=9, seconds=5.0
    )
    assert Counts(calls=4, painted=4, seconds=2.0).since(before) == Counts(
        calls=4, painted=4, seconds=2.0
    )


@pytest.mark.parametrize("shares", [(), (0.5,), (0.5, 0.05, 1.0), (0.0, 1.0), (0.5, 0.5, 1.0)])
def test_shares_that_do_not_grow_to_all_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="let them grow up to 1"):
        Policy(shares=shares)


def test_shares_that_grow_are_fine() -> None:
    assert Policy(shares=(0.05, 0.5, 1.0)).shares[0] == 0.05
