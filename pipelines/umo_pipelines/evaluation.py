"""The evaluation pipeline: fetch any version -> synthesize -> validate -> evaluate -> record."""

from typing import Any

from kfp import dsl

from umo_pipelines import tasks
from umo_pipelines.placement import HEAVY, LIGHT, TRAINER, VOLUME, as_account, place, retried
from umo_pipelines.training import dataset


def build() -> Any:
    """The pipeline."""

    @dsl.pipeline(name="umo-evaluation", description="Judge a version on people it never saw")
    def evaluation(
        out: str,
        code: str,
        base: str,
        base_digest: str,
        pack: str,
        held_out: str,
        evaluation: str,
        model: str,
        version: str,
        digest: str,
        volume: str = VOLUME,
    ) -> None:
        """`held_out` and `evaluation` are JSON text, `digest` is that of the weights."""
        ending = place(tasks.report(out=out).set_caching_options(False), LIGHT, volume)
        with dsl.ExitHandler(ending, name="steps"):
            exam = dataset(1, out=out, split="held-out", config=held_out, code=code, volume=volume)
            fetched = tasks.fetch(out=out, model=model, version=version, digest=digest)
            judged = tasks.evaluate(
                out=out,
                config=evaluation,
                base=base,
                base_digest=base_digest,
                pack=pack,
                data=exam,
                tuned=fetched.output,
                code=code,
            )
            recorded = tasks.record(out=out, model=model, evaluation=judged.outputs["Output"])
            retried(place(judged, HEAVY, volume))
            for task in (fetched, recorded):
                as_account(place(task, LIGHT, volume), TRAINER)

    return evaluation
