"""`umo evaluate measure`: measure pictures beside identity, and make ready what measures."""

from pathlib import Path
from typing import Annotated

import typer

from umo_cli.options import OutputOption
from umo_cli.output import print_json, print_result, print_table, progress_bar, work_on_stderr


def measure(
    scores: Annotated[Path, typer.Argument(help="Folder with scores.json.")],
    pictures: Annotated[
        Path, typer.Option(help="Folder of the model's pictures.", show_default=False)
    ],
    prompt_following: Annotated[
        str, typer.Option(metavar="MODEL", help="CLIP or SigLIP.", show_default=False)
    ] = "",
    picture_quality: Annotated[
        str,
        typer.Option(
            metavar="FOLDER", help="SigLIP's encoder with the aesthetic head.", show_default=False
        ),
    ] = "",
    diversity: Annotated[
        str, typer.Option(metavar="MODEL", help="DINO, for diversity.", show_default=False)
    ] = "",
    ip_sim: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="DINO, for objects and animals; needs the next three.",
            show_default=False,
        ),
    ] = "",
    detector: Annotated[
        str, typer.Option(metavar="MODEL", help="OWLv2, finds the objects.", show_default=False)
    ] = "",
    items: Annotated[
        Path | None,
        typer.Option(help="XVerseBench_single.json or _multi.json.", show_default=False),
    ] = None,
    references: Annotated[
        Path | None, typer.Option(help="Folder with object/ and animal/.", show_default=False)
    ] = None,
    dpg_answers: Annotated[
        Path | None,
        typer.Option(help="dpg_scores_*.json of the public scripts.", show_default=False),
    ] = None,
    dpg_questions: Annotated[
        Path | None, typer.Option(help="XVerseBench_multi_DSG.json.", show_default=False)
    ] = None,
    output: OutputOption = "table",
) -> None:
    """Measure what else pictures are, by the models that are named, into their scores.json.

    A model is a folder, or `hub:NAME`, which is downloaded. What is not named is not measured.
    """
    with work_on_stderr(), progress_bar("measure") as progress:
        from umo.steps import measure as step

        rows = step.run(
            step.MeasureConfig(
                prompt_following=prompt_following,
                picture_quality=picture_quality,
                diversity=diversity,
                ip_sim=ip_sim,
                detector=detector,
                items=items,
                references=references,
                dpg_answers=dpg_answers,
                dpg_questions=dpg_questions,
            ),
            folder=scores,
            pictures=pictures,
            progress=progress,
        )
    if output == "json":
        print_json({"measures": rows})
    else:
        print_table(
            [
                [
                    row["measure"],
                    "not measured" if row["mean"] is None else f"{row['mean']:.2f}",
                    f"{row['pictures']} of {row['total']}",
                ]
                for row in rows
            ],
            header=("measure", "mean", "pictures"),
        )


def convert(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint of torch, .bin or .pth.")],
    target: Annotated[
        Path, typer.Option("--to", help="safetensors file to write.", show_default=False)
    ],
    output: OutputOption = "table",
) -> None:
    """Write a published checkpoint as safetensors; nothing in it is run."""
    with work_on_stderr():
        from umo.benchmarks.measures.convert import convert as write

        tensors = write(checkpoint, target)
    print_result({"file": str(target), "tensors": tensors}, output)
