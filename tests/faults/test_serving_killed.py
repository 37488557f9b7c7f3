"""Processes of a server that are killed while somebody waits for a picture."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.triton import Triton
from umo_serving.client import Client, UnavailableError
from umo_serving.client.target import Protocol
from umo_serving.probe import PICTURES

PEOPLE = sorted(PICTURES.glob("*.png"))
COMMANDS = {
    "version": "umo_vlocal/1/model.py",
    "server": "tritonserver --model-repository",
    "gate": "umo_serving.gate",
}
"""Part of the command line of each process."""
PATIENT = {"timeout": 900.0, "retries": 1000}
STEPS = 100


def process_of(server: Triton, name: str) -> int:
    """Process id of the version, of tritonserver or of the gate."""
    (found,) = (
        pid
        for pid, process in server.processes().items()
        if COMMANDS[name] in " ".join(process.cmdline())
    )
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_patient_caller_gets_the_picture(
    triton: Triton, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Client(triton.http, **PATIENT) as client:
        expected = client.generate("Two people", PEOPLE, seed=3, steps=STEPS)[0].tobytes()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(client.generate, "Two people", PEOPLE, seed=3, steps=STEPS)
            time.sleep(1)
            victim = process_of(triton, name)
            os.kill(victim, signal.SIGKILL)
            start = time.monotonic()
            assert waiting.result()[0].tobytes() == expected
        took = time.monotonic() - start
    assert process_of(triton, name) != victim
    with capsys.disabled():
        print(f"\n{name} killed: the picture came {took:.1f} s later")


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_an_impatient_caller_is_told_at_once_to_try_again(
    triton: Triton, protocol: Protocol
) -> None:
    where = triton.http if protocol == "http" else triton.grpc
    with Client(where, protocol=protocol, timeout=900.0, retries=0) as client:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(client.generate, "Two people", PEOPLE, seed=4, steps=STEPS)
            time.sleep(1)
            os.kill(process_of(triton, "version"), signal.SIGKILL)
            with pytest.raises(UnavailableError, match="died; try again"):
                waiting.result()
        with pytest.raises(UnavailableError, match="is being started; try again"):
            client.generate("Two people", PEOPLE, seed=4, steps=1)
    with Client(triton.http, **PATIENT) as client:
        assert client.generate("Two people", PEOPLE, seed=4, steps=1)
