"""`umo run`: the whole job."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from umo_cli.options import ConfigOption, OutputOption, SetOption, configure
from umo_cli.output import print_facts, print_json, print_table, work_on_stderr

MODELS = {"base": "base", "tuned": "this run", "reference": "reference LoRA"}
METRICS = {"id_sim": "ID-Sim", "id_conf": "ID-Conf"}


def run(
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/default"),
    config: ConfigOption = None,
    assignments: SetOption = None,
    base: Annotated[
        str | None,
        typer.Option(help="`embedded`, or the folder of a base.", show_default="embedded"),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the tuning.", show_default="0")] = None,
    open_report: Annotated[
        bool | None,
        typer.Option(
            "--open/--no-open",
            help="Open the report in a browser.",
            show_default="on a desktop, when stdout is a terminal",
        ),
    ] = None,
    output: OutputOption = "table",
) -> None:
    """Synthesise people, tune on them, compare with the base, report and register.

    About 15 minutes on two cores with the default settings. A run that was interrupted goes on
    where it stopped when the same command is given again.
    """
    with work_on_stderr():
        from umo.steps.run import RunConfig
        from umo_pipelines.submit import run_local

        settings = configure(RunConfig, config, assignments, base=base, seed=seed)
        summary = run_local(settings, out, progress=True)
    if output == "json":
        print_json(summary)
    else:
        show(summary)
    if open_report if open_report is not None else _on_desktop():
        typer.launch(str(summary["report"]))


def show(summary: Mapping[str, Any]) -> None:
    """Print the summary of a run: the scores side by side, the gain, then what to look at."""
    models = {name: summary[name] for name in MODELS if summary[name]}
    rows = [
        [title, *(f"{scores['judge'][metric]:.2f}" for scores in models.values())]
        for metric, title in METRICS.items()
    ]
    found = [f"{scores['faces_found']}/{scores['faces_expected']}" for scores in models.values()]
    print_table(
        [*rows, ["faces found", *found]],
        header=["", *(MODELS[name] for name in models)],
        title=f"{summary['people']} people never seen in training, by the judge",
    )
    gains = [(title, summary["gain"][metric]) for metric, title in METRICS.items()]
    print_table(
        [
            [title, *(f"{gain[key]:+.2f}" for key in ("mean", "low", "high"))]
            for title, gain in gains
        ],
        header=["", "gain", "95 % from", "to"],
        title="This run over base, paired",
    )
    if summary["gap_closed"] is not None:
        share = f"{summary['gap_closed']:.0%} of what base leaves open"
        print_facts({"reference LoRA": f"closes {share} in ID-Sim"})
    print_facts(
        {
            "time": f"{summary['seconds'] / 60:.1f} min, peak {summary['peak_memory_mb']} MB",
            "version": f"{summary['model']} {summary['version']}, digest {summary['digest'][:12]}",
            "mlflow": _short(summary["mlflow"]),
            "look at": _short(summary["report"]),
        }
    )


def _short(path: str) -> str | Path:
    if "://" in path:
        return path
    inside = Path(path).is_relative_to(Path.cwd())
    return Path(path).relative_to(Path.cwd()) if inside else Path(path)


def _on_desktop() -> bool:
    screen = sys.platform == "darwin" or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    return screen and sys.stdout.isatty()
