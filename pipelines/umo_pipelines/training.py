"""The training pipeline: synthesize both splits -> validate -> train -> evaluate -> register."""

from kfp import dsl

from umo_pipelines import tasks
from umo_pipelines.placement import HEAVY, LIGHT, TRAINER, VOLUME, as_account, place


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
        practice = tasks.synthesize(out=out, split="tune", config=tune, code=code)
        exam = tasks.synthesize(out=out, split="held-out", config=held_out, code=code)
        good_practice = tasks.validate(
            out=out, split="tune", data=practice.outputs["Output"], code=code
        )
        good_exam = tasks.validate(
            out=out, split="held-out", data=exam.outputs["Output"], code=code
        )
        tuned = tasks.train(
            out=out,
            config=train,
            base=base,
            base_digest=base_digest,
            pack=pack,
            data=good_practice.output,
            code=code,
            job=job,
        )
        judged = tasks.evaluate(
            out=out,
            config=evaluation,
            base=base,
            base_digest=base_digest,
            pack=pack,
            data=good_exam.output,
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
        for task in (practice, exam, tuned, judged):
            place(task, HEAVY, volume)
        for task in (good_practice, good_exam, registered):
            place(task, LIGHT, volume)
        as_account(registered, TRAINER)
