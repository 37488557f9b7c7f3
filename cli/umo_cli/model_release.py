"""`umo models release`: the whole promotion as a pipeline."""

from pathlib import Path
from typing import Annotated

import typer

from umo_cli.model_options import DEFAULT_RUN, ModelArgument, VersionArgument, number_of
from umo_cli.options import BaseOption, OutputOption
from umo_cli.output import print_facts, print_json, work_on_stderr


def release(
    model: ModelArgument,
    version: VersionArgument,
    policy: Annotated[
        Path | None,
        typer.Option(help="YAML file with gates.", show_default="the shipped policy"),
    ] = None,
    base: BaseOption = "embedded",
    hours: Annotated[float, typer.Option(help="How long to wait for a reviewer.", min=0)] = 72.0,
    minutes: Annotated[
        float,
        typer.Option(help="How long to wait for a deployer afterwards; 0 does not wait.", min=0),
    ] = 0.0,
    out: Annotated[
        Path, typer.Option(help="Run folder of the candidate: its datasets, and where logs go.")
    ] = DEFAULT_RUN,
    output: OutputOption = "table",
) -> None:
    """Hand a candidate in, wait until somebody else approves it, promote it: as a kfp pipeline.

    Exit code 75 if nobody decided in time; the same command waits on.
    """
    with work_on_stderr():
        from umo.ledger import Ledger
        from umo.registry import Registry
        from umo.review.policy import load_policy
        from umo.store import Store
        from umo_pipelines.submit import promote_local

        store = Store.existing(None, default=out)
        summary = promote_local(
            model,
            number_of(Registry(store), Ledger(store.ledger), model, version),
            out,
            policy=load_policy(policy),
            base=base,
            hours=hours,
            minutes=minutes,
        )
    if output == "json":
        print_json(summary)
    else:
        print_facts(
            {
                "champion": f"{summary['model']} {summary['version']}",
                "time": f"{summary['seconds']:.0f} s",
            }
        )
