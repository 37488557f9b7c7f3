"""A call in a process of its own that is killed at one of its changes of files."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHANGES = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree")


def killed_at(number: int, root: Path, call: Callable[[], object]) -> bool:
    """Run a call and SIGKILL it when it touches a file below `root` for the `number`th time.

    Returns:
        Whether it was killed; else it came to its end before.
    """
    process = multiprocessing.get_context("fork").Process(target=_run, args=(number, root, call))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode != 0


def _run(number: int, root: Path, call: Callable[[], object]) -> None:
    seen = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in CHANGES and str(arguments[0]).startswith(str(root)):
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    call()
    os._exit(0)
