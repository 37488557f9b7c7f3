"""The promotion pipeline: gates -> wait for approval -> promote.

Nothing is cached: every task looks at MLflow and the ledger as they are now. On a cluster each
task gets the environment of the account that it acts as from a Kubernetes secret, so that whoever
hands a candidate in cannot promote it; on one machine all tasks have the caller's environment.
"""

from kfp import dsl, kubernetes

from umo_pipelines import tasks

TRAINER, PROMOTER = "umo-trainer", "umo-promoter"
"""Secrets with the variables of an account."""
REQUIRED = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "UMO_LEDGER",
)
OPTIONAL = {
    TRAINER: ("UMO_SIGNING_KEY", "UMO_SIGNING_PEM"),
    PROMOTER: ("UMO_VERIFY_KEY", "UMO_VERIFY_PEM"),
}
"""Reference of a key, `env:UMO_SIGNING_PEM`, and the key."""


def _as_account(task: dsl.PipelineTask, secret: str) -> dsl.PipelineTask:
    for names, optional in ((REQUIRED, False), (OPTIONAL[secret], True)):
        kubernetes.use_secret_as_env(
            task,
            secret_name=secret,
            secret_key_to_env={name: name for name in names},
            optional=optional,
        )
    return task.set_caching_options(False)


@dsl.pipeline(name="umo-promotion", description="Judge a candidate, wait for approval, promote it")
def promotion(out: str, model: str, version: int, policy: str, base: str, hours: float) -> str:
    """Digest of the champion's weights; `policy` is JSON text, `hours` how long to wait."""
    submitted = _as_account(
        tasks.submit(out=out, model=model, version=version, policy=policy, base=base), TRAINER
    )
    approved = _as_account(
        tasks.wait(out=out, model=model, version=version, report=submitted.output, hours=hours),
        TRAINER,
    )
    promoted = _as_account(tasks.promote(out=out, model=model, version=version), PROMOTER)
    promoted.after(approved)
    weights: str = promoted.output
    return weights
