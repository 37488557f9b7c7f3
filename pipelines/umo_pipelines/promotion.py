"""The promotion pipeline: gates -> wait for approval -> promote -> wait for the deployment.

Nothing is cached: every task looks at MLflow and the ledger as they are now. On a cluster each
task gets the environment of the account that it acts as from a Kubernetes secret, so that whoever
hands a candidate in cannot promote it; on one machine all tasks have the caller's environment.

Deploying is the work of the deployer beside every server, which follows the ledger and probes a
version before it answers; the pipeline ends when that is done, or at once where `minutes` is 0.
"""

from typing import Any

from kfp import dsl

from umo_pipelines import tasks
from umo_pipelines.placement import (
    LIGHT,
    PATIENT,
    PROMOTER,
    REQUIRED,
    TRAINER,
    VOLUME,
    as_account,
    place,
    retried,
)

__all__ = ["PROMOTER", "REQUIRED", "TRAINER", "build"]


def build() -> Any:
    """The pipeline."""

    @dsl.pipeline(
        name="umo-promotion", description="Judge a candidate, wait for approval, promote it"
    )
    def promotion(
        out: str,
        model: str,
        version: int,
        policy: str,
        base: str,
        hours: float,
        minutes: float,
        volume: str = VOLUME,
    ) -> str:
        """Digest of the champion's weights; `policy` is JSON text.

        `hours` is how long to wait for a reviewer, `minutes` for a deployer.
        """
        submitted = tasks.submit(out=out, model=model, version=version, policy=policy, base=base)
        approved = tasks.wait(
            out=out, model=model, version=version, report=submitted.output, hours=hours
        )
        promoted = tasks.promote(out=out, model=model, version=version)
        promoted.after(approved)
        for task, where, account in (
            (retried(submitted), LIGHT, TRAINER),
            (approved, PATIENT, TRAINER),
            (retried(promoted), LIGHT, PROMOTER),
        ):
            as_account(place(task, where, volume), account).set_caching_options(False)
        with dsl.If(minutes > 0, name="served"):
            served = tasks.deploy(out=out, model=model, version=version, minutes=minutes)
            served.after(promoted)
            as_account(place(served, PATIENT, volume), PROMOTER).set_caching_options(False)
        weights: str = promoted.output
        return weights

    return promotion
