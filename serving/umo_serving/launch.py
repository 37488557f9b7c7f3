"""Start a program with arguments that the process list does not show.

tritonserver takes the key of its admin interface on its command line only, and everyone on the
machine may read a command line. Here the kernel records a placeholder: the true argument stands in
the environment, which the owner alone may read. The program is stopped at its first instruction,
the pointer of the placeholder is turned to the argument, and it runs on.
"""

import ctypes
import os
import signal
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from umo.errors import UmoError

HIDDEN = "UMO_HIDDEN_"
PLACEHOLDER = "--hidden"
TRACEME, DETACH = 0, 17
SET_PARENT_DEATH_SIGNAL = 1
START_OF_STACK = 27
"""Index of `startstack` in /proc/PID/stat, counted from 0."""
POINTER = struct.calcsize("P")


def launch(
    command: Sequence[str], hidden: Sequence[str], *, environment: Mapping[str, str], log: int
) -> int:
    """Start `command` with further arguments that no process list shows.

    It ends with this process: the kernel sends it SIGTERM then.

    Args:
        command: Program and its open arguments.
        hidden: Arguments that follow them.
        environment: Its environment variables.
        log: File descriptor that becomes its output.

    Returns:
        Its process id; it is a child of this process.

    Raises:
        UmoError: The system does not allow it; the program did not start.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    secrets = {f"{HIDDEN}{number}": argument for number, argument in enumerate(hidden)}
    arguments = [*command, *(PLACEHOLDER for _ in hidden)]
    variables = {**environment, **secrets}
    child = os.fork()
    if child == 0:
        try:
            os.dup2(log, 1)
            os.dup2(log, 2)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            libc.prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
            if libc.ptrace(TRACEME, 0, None, None) == 0:
                os.execve(command[0], arguments, variables)
        finally:
            os._exit(127)
    _, status = os.waitpid(child, 0)
    if not os.WIFSTOPPED(status):
        raise UmoError(
            "tritonserver could not be started with a hidden admin key",
            hint="is ptrace allowed here? kernel.yama.ptrace_scope must be 0 or 1",
        )
    try:
        _reveal(child, len(command), list(secrets))
    except OSError as error:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise UmoError(f"the admin key could not be hidden: {error}") from error
    libc.ptrace(DETACH, child, None, None)
    return child


def _reveal(pid: int, start: int, names: Sequence[str]) -> None:
    """Turn the argument pointers from `start` on to the values of environment variables.

    A fresh stack holds `argc`, the pointers of the arguments, a null, those of the environment, a
    null.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    stack = int(fields[START_OF_STACK - 2])
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:

        def word(address: int) -> int:
            memory.seek(address)
            return int(struct.unpack("P", memory.read(POINTER))[0])

        count = word(stack)
        address = stack + (count + 2) * POINTER
        values = {}
        while pointer := word(address):
            memory.seek(pointer)
            name, found, _ = memory.read(64).partition(b"=")
            if found and name.startswith(HIDDEN.encode()):
                values[name.decode()] = pointer + len(name) + 1
            address += POINTER
        for number, name in enumerate(names):
            memory.seek(stack + (1 + start + number) * POINTER)
            memory.write(struct.pack("P", values[name]))
