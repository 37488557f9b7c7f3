"""Runs a command whose process group ends, at the latest, when this stdin is closed.

Called as `python guard.py COMMAND...`. The caller holds the other end of stdin, so that even a
`kill -9` of the caller ends the server.
"""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

GRACE_SECONDS = 10.0


def main(command: list[str]) -> None:
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)

    def end_with_child() -> None:
        status = child.wait()
        send(child.pid, signal.SIGKILL)
        os._exit(status & 0xFF)

    watcher = threading.Thread(target=end_with_child)
    watcher.start()
    sys.stdin.buffer.read()
    send(child.pid, signal.SIGINT)
    watcher.join(GRACE_SECONDS)
    send(child.pid, signal.SIGKILL)


def send(group: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)


if __name__ == "__main__":
    main(sys.argv[1:])
