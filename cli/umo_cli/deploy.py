"""`umo serve deploy`: make a server answer with the champion."""

from pathlib import Path
from typing import Annotated

import typer

from umo.errors import UsageError
from umo_cli.model_options import ModelArgument, RunOption, connect
from umo_cli.options import FacesOption, OutputOption, WeightsOption
from umo_cli.output import print_facts, print_json, work_on_stderr


def deploy(
    model: ModelArgument,
    folder: Annotated[
        Path, typer.Option("--folder", help="Folder of the server, which has to run.")
    ] = Path("runs/serving"),
    run: RunOption = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on and deploy every new champion.")
    ] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Most seconds between two looks.")] = 15.0,
    canary: Annotated[
        str, typer.Option(help="Percent of the calls that a new version gets, one after the other.")
    ] = "100",
    seconds: Annotated[float, typer.Option(min=0.0, help="Least time with each share.")] = 300.0,
    calls: Annotated[int, typer.Option(min=1, help="Least calls with each share.")] = 20,
    score: Annotated[
        float, typer.Option(min=-1.0, max=1.0, help="Least identity score of the first picture.")
    ] = 0.4,
    bases: Annotated[
        list[str] | None,
        typer.Option(
            "--base",
            metavar="FOLDER",
            help="Folder of a base besides `embedded`; may be given several times.",
            show_default=False,
        ),
    ] = None,
    faces: FacesOption = "open",
    weights: WeightsOption = "auto",
    output: OutputOption = "table",
) -> None:
    """Serve the champion of a model: verify, load, try it out, then let it answer.

    The version before answers until the new one does, and again if it fails. Nothing is deployed
    that nobody approved. Exit code 4 if the champion was refused.
    """
    with work_on_stderr():
        from umo_serving.deployer import Deployer, Policy
        from umo_serving.folder import EMBEDDED, Folder

        policy = Policy(
            bases=(EMBEDDED, *(bases or ())),
            pack=faces,
            weights=weights,
            score=score,
            shares=_shares(canary),
            seconds=seconds,
            calls=calls,
        )
        registry, ledger = connect(run)
        deployer = Deployer(Folder(folder.resolve()), registry, ledger, model, policy=policy)
        if follow:
            deployer.follow(every)
        served = deployer.once()
    facts = {
        "model": model,
        "version": served.version.version if served else None,
        "digest": served.version.digest if served else None,
    }
    if output == "json":
        print_json(facts)
    else:
        print_facts(facts if served else {"model": f"{model} has no champion yet"})


def _shares(percents: str) -> tuple[float, ...]:
    try:
        return tuple(float(percent) / 100 for percent in percents.split(","))
    except ValueError:
        raise UsageError(
            f"--canary {percents!r} is no list of numbers", hint="for example --canary 5,50,100"
        ) from None
