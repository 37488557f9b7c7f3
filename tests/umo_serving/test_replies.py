from concurrent.futures import Future
from dataclasses import replace

import pytest

from umo.errors import DiffersError, UmoError
from umo_serving import replies
from umo_serving.replies import Replies
from umo_serving.request import Reply, Request

ASKED = Request(prompt="two people", references=[b"a", b"b"], seed=1)


def painted(size: int = 10) -> Reply:
    return Reply(pngs=[b"p" * size], seeds=[1], version="1", digest="d", matches=[])


def test_a_repeated_call_gets_the_first_reply() -> None:
    kept = Replies()
    first, ours = kept.claim("id", ASKED)
    second, theirs = kept.claim("id", replace(ASKED))
    assert (ours, theirs) == (True, False)
    reply = painted()
    kept.settle("id", reply)
    later, _ = kept.claim("id", ASKED)
    assert first.result() is second.result() is later.result() is reply


@pytest.mark.parametrize(
    "other",
    [
        replace(ASKED, seed=2),
        replace(ASKED, prompt="three people"),
        replace(ASKED, references=[b"ab"]),
        replace(ASKED, references=[b"b", b"a"]),
        replace(ASKED, images=2),
    ],
)
def test_an_id_given_twice_is_refused(other: Request) -> None:
    kept = Replies()
    kept.claim("id", ASKED)
    with pytest.raises(DiffersError, match="request id id was another request"):
        kept.claim("id", other)


def test_a_failure_is_told_and_forgotten() -> None:
    kept = Replies()
    kept.claim("id", ASKED)
    waiting, _ = kept.claim("id", ASKED)
    kept.settle("id", UmoError("no luck"))
    with pytest.raises(UmoError, match="no luck"):
        waiting.result()
    assert kept.claim("id", ASKED)[1]


def test_old_replies_make_room_and_open_calls_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "KEPT_BYTES", 100)
    kept = Replies()
    open_call, _ = kept.claim("open", ASKED)
    for number in range(5):
        kept.claim(str(number), ASKED)
        kept.settle(str(number), painted(40))
    ours = {name: kept.claim(name, ASKED)[1] for name in ("open", "0", "4")}
    assert ours == {"open": False, "0": True, "4": False}
    assert isinstance(open_call, Future)
    assert not open_call.done()
