"""Many callers at once, against a real server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from umo_serving.client import Client
from umo_serving.client.target import Protocol
from umo_serving.probe import PICTURES

if TYPE_CHECKING:
    from services.triton import Triton

PEOPLE = sorted(PICTURES.glob("*.png"))


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("callers", [4, 16])
def test_nobody_is_left_out(triton: Triton, protocol: Protocol, callers: int) -> None:
    before = triton.processes().keys()
    where = triton.http if protocol == "http" else triton.grpc
    with Client(where, protocol=protocol, retries=0) as client:

        def call(seed: int) -> bytes:
            return client.generate("Two people", PEOPLE, seed=seed % 8, steps=2)[0].tobytes()

        with ThreadPoolExecutor(callers) as pool:
            pictures = list(pool.map(call, range(96)))
    assert pictures == pictures[:8] * 12
    assert triton.processes().keys() == before
