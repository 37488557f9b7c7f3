"""An evaluation is killed anywhere and started again: the same bytes, and nothing done twice."""

from functools import partial
from pathlib import Path

import torch

from services.killed import killed_at
from umo.benchmarks.item import Benchmark
from umo.benchmarks.painting import PaintingConfig
from umo.benchmarks.rendered import GroupsConfig, rendered_benchmark
from umo.steps import benchmark as step

REFERENCE = Path(__file__).parents[2] / "components/umo/assets/reference"
KILLS = (7, 16, 24, 32)
"""Changes of files after which a process is killed, one after the other."""


def evaluate(benchmark: Benchmark, out: Path) -> None:
    """Paint the items and score them."""
    torch.set_num_threads(1)
    step.run(
        benchmark,
        [step.contender("tuned", REFERENCE)],
        base="embedded",
        pack="open",
        folder=out,
        config=PaintingConfig(steps=1),
    )


def contents(folder: Path) -> dict[str, bytes]:
    """All files but those that were not finished, which have hidden names."""
    names = {path: path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*"))}
    return {
        name: path.read_bytes()
        for path, name in names.items()
        if path.is_file() and "/." not in f"/{name}"
    }


def finished(folder: Path) -> dict[Path, int]:
    """When pictures and what was seen in them were written."""
    kept = [*folder.glob("pictures/*/*.png"), *folder.glob("faces/*/*.safetensors")]
    return {path: path.stat().st_mtime_ns for path in kept}


def test_a_killed_evaluation_ends_with_the_same_bytes(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    groups = GroupsConfig(prompts=1, most_people=2)
    benchmark = rendered_benchmark(tmp_path / "benchmark", groups)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert not killed_at(-1, whole, partial(evaluate, benchmark, whole))
    done: dict[Path, int] = {}
    for number in KILLS:
        assert killed_at(number, killed, partial(evaluate, benchmark, killed))
        assert done.items() <= finished(killed).items(), "something was done twice"
        done = finished(killed)
    assert not killed_at(-1, killed, partial(evaluate, benchmark, killed))
    assert done.items() <= finished(killed).items(), "something was done twice"
    assert contents(killed) == contents(whole)
