"""The training pipeline: synthesize both splits -> validate -> train -> evaluate -> register.

On a cluster several tasks render a part of each split at the same time, and `validate` joins them
to the dataset that one task would have rendered. The tasks are there when the pipeline is compiled,
since Kubeflow Pipelines cannot run a `ParallelFor` in an `ExitHandler`:
https://github.com/kubeflow/pipelines/issues/12390
"""

from typing import Any

from kfp import dsl

from umo_pipelines import tasks
from umo_pipelines.placement import HEAVY, LIGHT, TRAINER, VOLUME, as_account, place, retried

SHARDS = 4
"""Tasks that render a split on a cluster."""


def build(shards: int = 1) -> Any:
    """The pipeline, with so many tasks for each split; one uses every core of its machine."""

    @dsl.pipeline(name="umo-training", description="Tune a base by ReReFL, judge it, register it")
    def training(
        out: str,
        code: str,
        base: str,
        base_digest: str,
        pack: str,
        tune: str,
        held_out: str,
        train: str,
        evaluation: str,
        model: str,
        job: str = "",
        volume: str = VOLUME,
    ) -> None:
        """`tune`, `held_out`, `train` and `evaluation` are JSON text.

        With `job`, JSON text too, a TrainJob trains on `volume`; without, the task itself.
        """
        ending = place(tasks.report(out=out).set_caching_options(False), LIGHT, volume)
        with dsl.ExitHandler(ending, name="steps"):
            practice = dataset(shards, out=out, split="tune", config=tune, code=code, volume=volume)
            exam = dataset(
                shards, out=out, split="held-out", config=held_out, code=code, volume=volume
            )
            tuned = tasks.train(
                out=out,
                config=train,
                base=base,
                base_digest=base_digest,
                pack=pack,
                data=practice,
                code=code,
                job=job,
            )
            judged = tasks.evaluate(
                out=out,
                config=evaluation,
                base=base,
                base_digest=base_digest,
                pack=pack,
                data=exam,
                tuned=tuned.outputs["Output"],
                code=code,
            )
            registered = tasks.register(
                out=out,
                model=model,
                tuned=tuned.outputs["Output"],
                evaluation=judged.outputs["Output"],
                code=code,
            )
            for task in (tuned, judged):
                retried(place(task, HEAVY, volume))
            as_account(retried(place(registered, LIGHT, volume)), TRAINER)

    return training


def dataset(shards: int, *, out: Any, split: str, config: Any, code: Any, volume: Any) -> Any:
    """Tasks that render a split, and the one that joins and validates it; the dataset's digest."""
    parts = []
    for shard in range(shards):
        part = tasks.synthesize(
            out=out, split=split, config=config, shard=shard, shards=shards, code=code
        )
        number = f" {shard + 1} of {shards}" if shards > 1 else ""
        part.set_display_name(f"synthesize {split}{number}")
        parts.append(retried(place(part, HEAVY, volume)).output)
    good = tasks.validate(
        out=out, split=split, config=config, parts=" ".join(map(str, parts)), code=code
    )
    return place(good, LIGHT, volume).set_display_name(f"validate {split}").outputs["Output"]
