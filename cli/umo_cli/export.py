"""`umo export`: a LoRA as other programs read it."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from umo_cli.options import BaseOption, OutputOption
from umo_cli.output import print_result, work_on_stderr


def export(
    lora: Annotated[
        Path,
        typer.Argument(help="File of any of the formats, or a folder of `umo train`."),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    to: Annotated[
        Literal["diffusers", "uno", "omnigen2", "comfyui", "merged"],
        typer.Option(help="What to write; `merged` is the whole base with the LoRA in it."),
    ] = "diffusers",
    rank: Annotated[
        int | None, typer.Option(min=1, help="Reduce to this rank.", show_default=False)
    ] = None,
    base: BaseOption = "embedded",
    output: OutputOption = "table",
) -> None:
    """Write a LoRA in another format; exit code 5 if it does not fit the base."""
    with work_on_stderr():
        from umo.bases import folder_of
        from umo.steps import export as step

        made = step.run(lora, folder_of(base), to, out, to_rank=rank)
    facts = {
        "folder": out,
        "format": made["format"],
        "rank": made.get("rank"),
        "base": made["base"]["name"],
        "source": made["source"],
    }
    if kept := made.get("kept"):
        facts["kept"] = f"{kept['total']:.2%} of the energy"
        facts["least"] = f"{kept['least']:.2%} in {kept['layer']}"
    shown = {name: value for name, value in facts.items() if value is not None}
    print_result(made if output == "json" else shown, output)
