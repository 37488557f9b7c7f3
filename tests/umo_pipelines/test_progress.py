import io
from typing import Any

from rich.console import Console
from rich.progress import Progress

from umo_pipelines.progress import Bars, Lines


def event(name: str, **facts: Any) -> dict[str, Any]:
    return {"time": facts.pop("time", 0.0), "step": "train", "event": name, **facts}


def test_lines_say_start_and_end() -> None:
    screen = Console(file=io.StringIO(), width=80)
    lines = Lines(screen)
    lines.show(event("started", time=10.0))
    lines.show(event("progress", done=1, total=2))
    lines.show(event("finished", time=22.0, reused=False))
    lines.show(event("finished", time=22.0, reused=True))
    assert screen.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "train: started",
        "train: done in 12 s",
        "train: already there, reused",
    ]


def test_bars_follow_count_and_reward() -> None:
    progress = Progress(console=Console(file=io.StringIO()))
    bars = Bars(progress, ["train"])
    task = progress.tasks[0]
    bars.show(event("started"))
    bars.show(event("progress", done=3, total=12, reward=0.125))
    assert (task.completed, task.total, task.fields["note"]) == (3, 12, "reward +0.125")
    bars.show(event("finished", time=2.0, reused=False))
    assert task.finished
    assert task.fields["note"] == "done in 2 s"
