"""Whether a process lives."""

from pathlib import Path


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not buried yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}
