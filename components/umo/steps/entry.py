"""Steps as processes: plain text in, a digest out, everything else in the run folder.

This is what a pipeline task, local or on a cluster, calls. `out` is the run folder, settings are
JSON text, digests are those of the steps before; a step refuses a folder that holds another.
"""

import json
import os
from pathlib import Path
from typing import TypeVar

from umo import lineage
from umo.config import from_mapping
from umo.steps import journal
from umo.steps.layout import Layout

T = TypeVar("T")


def synthesize(out: str, split: str, config: str, shard: int, shards: int) -> str:
    """Render the people of a split, or one of several parts of it; the dataset's digest."""
    layout = Layout(Path(out))
    part = f" {shard + 1}/{shards}" if shards > 1 else ""
    with journal.step(layout.out, f"synthesize {split}{part}") as pen:
        from umo.data.render import RenderConfig
        from umo.steps.synthesize import run, run_part

        settings = _parse(RenderConfig, config)
        if not part:
            return pen.finish(run(settings, folder=layout.data(split), progress=pen.progress))
        folder = layout.part(split, shard, shards)
        return pen.finish(run_part(settings, shard, shards, folder=folder, progress=pen.progress))


def join(out: str, split: str, config: str, parts: list[str]) -> str:
    """Join the parts of a split, whose digests are `parts` in order; the dataset's digest."""
    layout = Layout(Path(out))
    with journal.step(layout.out, f"join {split}") as pen:
        from umo.data.render import RenderConfig
        from umo.steps.synthesize import join as run

        folders = {
            layout.part(split, shard, len(parts)): digest for shard, digest in enumerate(parts)
        }
        return pen.finish(run(_parse(RenderConfig, config), folders, folder=layout.data(split)))


def work(out: str, order: str, share: str) -> str:
    """Do a share, `0/2`, of the work for a dataset; what names it."""
    layout = Layout(Path(out))
    with journal.step(layout.out, f"work {share}") as pen:
        from umo.data.share import Share
        from umo.steps.dataset import DatasetConfig
        from umo.steps.dataset import work as run

        config = _parse(DatasetConfig, order)
        return pen.finish(
            run(config, Share.parse(share), folder=layout.made, progress=pen.progress)
        )


def collect(out: str, order: str) -> str:
    """Make the dataset of what the shares did; its digest."""
    layout = Layout(Path(out))
    with journal.step(layout.out, "collect") as pen:
        from umo.steps.dataset import DatasetConfig
        from umo.steps.dataset import collect as run

        config = _parse(DatasetConfig, order)
        return pen.finish(run(config, folder=layout.made, progress=pen.progress))


def train(out: str, config: str, base: str, pack: str, data: str) -> str:
    """Tune the base on the tuning split, whose digest is `data`; the digest of its folder.

    The environment's MLflow follows it, or the one in the run folder; the latter not on a cluster.
    """
    layout = Layout(Path(out))
    with journal.step(layout.out, "train") as pen:
        from umo.steps.train import run
        from umo.store import Store
        from umo.training.rerefl import RereflConfig

        lineage.expect(layout.data("tune"), data)
        here = None if os.environ.get(journal.RUN) else Store.local(layout.out)
        return pen.finish(
            run(
                _parse(RereflConfig, config),
                base=base,
                pack=pack,
                data=layout.data("tune"),
                folder=layout.train,
                progress=pen.progress,
                store=Store.followed() or here,
            )
        )


def evaluate(out: str, config: str, base: str, pack: str, data: str, tuned: str) -> str:
    """Judge base and tuned on the held-out split, whose digest is `data`; the result's digest."""
    layout = Layout(Path(out))
    with journal.step(layout.out, "evaluate") as pen:
        from umo.evaluation.evaluate import EvaluationConfig
        from umo.steps.evaluate import run

        lineage.expect(layout.data("held-out"), data)
        lineage.expect(layout.train, tuned)
        return pen.finish(
            run(
                _parse(EvaluationConfig, config),
                base=base,
                pack=pack,
                data=layout.data("held-out"),
                tuned=layout.train,
                folder=layout.evaluation,
                progress=pen.progress,
            )
        )


def register(out: str, model: str, tuned: str, evaluation: str) -> str:
    """Record the run and register its weights; their digest."""
    layout = Layout(Path(out))
    with journal.step(layout.out, "register") as pen:
        from umo.steps.register import run

        lineage.expect(layout.train, tuned)
        lineage.expect(layout.evaluation, evaluation)
        return pen.finish(run(model, layout=layout))


def submit(out: str, model: str, version: int, policy: str, base: str) -> str:
    """Judge a candidate by the gates and hand its report in; the report's digest."""
    layout = Layout(Path(out))
    with journal.step(layout.out, "submit") as pen:
        from umo.review.policy import Policy
        from umo.steps.promotion import submit as run

        folder = None if base == "embedded" else Path(base)
        return pen.finish(
            run(model, version, policy=_parse(Policy, policy), base=folder, layout=layout)
        )


def wait(out: str, model: str, version: int, report: str, hours: float) -> str:
    """Wait until a reviewer has approved the report; the hash of the approval."""
    layout = Layout(Path(out))
    with journal.step(layout.out, "wait for approval") as pen:
        from umo.steps.promotion import wait as run

        return pen.finish(
            run(model, version, report=report, hours=hours, layout=layout, progress=pen.progress)
        )


def promote(out: str, model: str, version: int) -> str:
    """Make the approved candidate the champion; the digest of its weights."""
    layout = Layout(Path(out))
    with journal.step(layout.out, "promote") as pen:
        from umo.steps.promotion import promote as run

        return pen.finish(run(model, version, layout=layout))


def deploy(out: str, model: str, version: int, minutes: float) -> str:
    """Wait until a server answers with the champion; the hash of the deployment."""
    layout = Layout(Path(out))
    with journal.step(layout.out, "deploy") as pen:
        from umo.steps.promotion import deploy as run

        return pen.finish(
            run(model, version, minutes=minutes, layout=layout, progress=pen.progress)
        )


def _parse(cls: type[T], text: str) -> T:
    return from_mapping(cls, json.loads(text))
