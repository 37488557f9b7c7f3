"""What a person sees of a run: a live line for each step, on stderr."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Event = dict[str, Any]


class Display(Protocol):
    """Shows the events of a journal."""

    def show(self, event: Event) -> None:
        """Show one event."""


class Silent:
    """Shows nothing."""

    def show(self, event: Event) -> None:
        """Show nothing."""


class Lines:
    """A line when a step starts and ends, for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started: dict[str, float] = {}

    def show(self, event: Event) -> None:
        """Print a start or an end."""
        step = event["step"]
        if event["event"] == "started":
            self._started[step] = event["time"]
            self._console.print(f"{step}: started", highlight=False)
        elif event["event"] == "finished":
            seconds = event["time"] - self._started.get(step, event["time"])
            self._console.print(f"{step}: {_ending(event, seconds)}", highlight=False)


class Bars:
    """A bar for each step, with its count, reward so far and time left."""

    def __init__(self, bars: Progress, steps: Sequence[str]) -> None:
        self._bars = bars
        self._started: dict[str, float] = {}
        self._ids: dict[str, TaskID] = {
            step: bars.add_task(step, total=None, start=False, note="") for step in steps
        }

    def show(self, event: Event) -> None:
        """Move the bar of the event's step."""
        step, bar = event["step"], self._ids[event["step"]]
        match event["event"]:
            case "started":
                self._started[step] = event["time"]
                self._bars.start_task(bar)
            case "progress":
                self._bars.update(bar, completed=event["done"], total=event["total"])
                if text := note(event):
                    self._bars.update(bar, note=text)
            case "finished":
                seconds = event["time"] - self._started.get(step, event["time"])
                self._bars.update(bar, total=1, completed=1, note=_ending(event, seconds))
            case "failed":
                self._bars.update(bar, note="failed")
                self._bars.stop_task(bar)


@contextmanager
def display(steps: Sequence[str], *, enabled: bool) -> Iterator[Display]:
    """Open the display for `steps`: bars on a terminal, lines in a log, nothing if not enabled."""
    console = Console(stderr=True)
    if not enabled:
        yield Silent()
    elif not console.is_terminal:
        yield Lines(console)
    else:
        with Progress(
            TextColumn("{task.description:<20}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            redirect_stdout=False,
            redirect_stderr=False,
        ) as bars:
            yield Bars(bars, steps)


def note(facts: Mapping[str, Any]) -> str:
    """What a bar says of a report: its measures, else its phase; nothing of a picture."""
    if "samples_per_second" not in facts:
        return "" if "picture" in facts else str(facts.get("phase", ""))
    signed = [f"{name} {facts[name]:+.3f}" for name in ("reward", "judge") if name in facts]
    speed = [f"{facts['samples_per_second']:.2g} samples/s"]
    missing = [f"{facts['missing']:.2g} missing"] if facts.get("missing") else []
    alarm = ["the judge does not rise"] if facts.get("judge_alarm") else []
    return ", ".join([*(signed or [f"loss {facts['loss']:.4g}"]), *missing, *speed, *alarm])


def _ending(event: Event, seconds: float) -> str:
    return "already there, reused" if event["reused"] else f"done in {seconds:.0f} s"
