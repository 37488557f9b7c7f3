"""Children end when they are told to, and their own children do not outlive them."""

import os
import signal
import subprocess
import sys
import time

import psutil

from umo_serving.child import Child

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(); time.sleep(99)"
)
ORPHANED = """
import os, subprocess, sys, time
from umo_serving.child import Child, adopt_orphans, kill_orphans
adopt_orphans()
nest = "import subprocess, sys; print(subprocess.Popen(['sleep', '99']).pid); sys.stdout.flush()"
parent = subprocess.Popen([sys.executable, "-c", nest], stdout=subprocess.PIPE, text=True)
orphan = int(parent.stdout.readline())
kept = Child("kept", subprocess.Popen(["sleep", "99"]).pid)
parent.wait()
kill_orphans(kept)
print(orphan, kept.pid, kept.gone())
kept.end(5)
"""


def start(code: str) -> "subprocess.Popen[bytes]":
    made = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert made.stdout
    made.stdout.readline()
    return made


def test_a_child_that_ends_by_itself() -> None:
    child = Child("child", start("import sys; print(); sys.exit(3)").pid)
    while not child.gone():
        time.sleep(0.01)
    assert child.status == 3
    child.end(1)


def test_a_child_that_does_not_listen_is_killed() -> None:
    child = Child("child", start(STUBBORN).pid)
    child.end(0.2)
    assert not psutil.pid_exists(child.pid)


def test_a_killed_child_says_by_what() -> None:
    child = Child("child", start("import time; print(); time.sleep(99)").pid)
    os.kill(child.pid, signal.SIGKILL)
    while not child.gone():
        time.sleep(0.01)
    assert child.status == -signal.SIGKILL


def test_orphans_are_killed_and_nobody_else() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ORPHANED], capture_output=True, text=True, check=True, timeout=60
    )
    orphan, kept, gone = done.stdout.split()
    assert gone == "False"
    assert not psutil.pid_exists(int(orphan))
    assert not psutil.pid_exists(int(kept))
