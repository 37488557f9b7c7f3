import io
from typing import Any

from rich.console import Console
from rich.progress import Progress

from umo_pipelines.progress import Bars, Lines, note


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
    measures = {"reward": 0.125, "judge": -0.5, "missing": 0.25, "samples_per_second": 1.62}
    bars.show(event("progress", done=3, total=12, **measures))
    told = "reward +0.125, judge -0.500, 0.25 missing, 1.6 samples/s"
    assert (task.completed, task.total, task.fields["note"]) == (3, 12, told)
    bars.show(event("progress", done=4, total=12, picture="samples/step-00000004.jpg"))
    assert (task.completed, task.fields["note"]) == (4, told)
    bars.show(event("finished", time=2.0, reused=False))
    assert task.finished
    assert task.fields["note"] == "done in 2 s"


def test_a_note_says_what_was_measured() -> None:
    assert note({"phase": "encode", "done": 1, "total": 2}) == "encode"
    plain = {"loss": 1.23456, "missing": 0.0, "samples_per_second": 12.3}
    assert note(plain) == "loss 1.235, 12 samples/s"
    assert note({**plain, "judge_alarm": 1}).endswith("the judge does not rise")
