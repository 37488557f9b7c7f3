"""The training pipeline: synthesize -> train -> evaluate -> register."""

from kfp import dsl

from umo_pipelines import tasks


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
) -> str:
    """Digest of the registered weights; `tune`, `held_out`, `train`, `evaluation` are JSON text."""
    practice = tasks.synthesize(out=out, split="tune", config=tune, code=code)
    exam = tasks.synthesize(out=out, split="held-out", config=held_out, code=code)
    tuned = tasks.train(
        out=out,
        config=train,
        base=base,
        base_digest=base_digest,
        pack=pack,
        data=practice.output,
        code=code,
    )
    judged = tasks.evaluate(
        out=out,
        config=evaluation,
        base=base,
        base_digest=base_digest,
        pack=pack,
        data=exam.output,
        tuned=tuned.output,
        code=code,
    )
    registered = tasks.register(
        out=out, model=model, tuned=tuned.output, evaluation=judged.output, code=code
    )
    digest: str = registered.output
    return digest
