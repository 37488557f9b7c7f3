"""`umo data`: make and look at datasets."""

from pathlib import Path
from typing import Annotated

import typer

from umo_cli import data_change
from umo_cli.harvest import harvest
from umo_cli.options import (
    BaseOption,
    ConfigOption,
    FacesOption,
    HelpOption,
    OutputOption,
    SetOption,
    configure,
)
from umo_cli.output import (
    print_facts,
    print_json,
    print_manifest,
    print_result,
    print_table,
    progress_bar,
    work_on_stderr,
)

app = typer.Typer(add_help_option=False, rich_markup_mode=None)
app.command()(harvest)

FolderArgument = Annotated[
    str,
    typer.Argument(
        metavar="FOLDER", help="A dataset: a folder or s3://BUCKET/PREFIX.", show_default=False
    ),
]
FoldersArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="FOLDER...", help="Datasets that are used together.", show_default=False
    ),
]


@app.callback()
def data(help_wanted: HelpOption = False) -> None:
    """Make, look at and change datasets."""


@app.command()
def render(
    out: Annotated[Path, typer.Option(help="Folder to write the dataset to.")],
    config: ConfigOption = None,
    assignments: SetOption = None,
    output: OutputOption = "table",
) -> None:
    """Render scenes of people who do not exist, with reference views of each."""
    with work_on_stderr(), progress_bar("render") as progress:
        from umo.data.render import RenderConfig
        from umo.steps import synthesize

        settings = configure(RenderConfig, config, assignments)
        synthesize.run(settings, folder=out, progress=progress)
    print_manifest(out, output)


@app.command()
def generate(
    out: Annotated[Path, typer.Option(help="Folder to write the dataset to.")],
    base: BaseOption = "embedded",
    tuned: Annotated[
        Path | None,
        typer.Option(help="Folder that `umo train` wrote; its LoRA paints.", show_default=False),
    ] = None,
    faces: FacesOption = "open",
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", help="Do only share I (from 0) of N of the work.", show_default=False
        ),
    ] = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    output: OutputOption = "table",
) -> None:
    """Have a base paint people and groups of them, and keep those whom two embedders recognise.

    The same command goes on after a kill; started several times, the processes share the work.
    """
    with work_on_stderr(), progress_bar("generate") as progress:
        from umo.data.generate import GenerateConfig
        from umo.data.share import Share
        from umo.files import read_manifest
        from umo.steps import generate as step

        settings = configure(GenerateConfig, config, assignments)
        done = step.run(
            settings,
            base=base,
            pack=faces,
            folder=out,
            tuned=tuned,
            share=Share.parse(shard) if shard else None,
            progress=progress,
        )
    if done.folder != out:
        print_result({"shard": shard, "done in": str(done.folder)}, output)
        return
    facts = read_manifest(out)
    print_manifest(out, output)
    if output == "table" and facts["rejected"]:
        print_facts({f"rejected: {reason}": n for reason, n in facts["rejected"].items()})


@app.command("import")
def import_samples(
    file: Annotated[Path, typer.Argument(help="JSON file of samples.", show_default=False)],
    out: Annotated[str, typer.Option(help="Folder or s3://BUCKET/PREFIX of the dataset.")],
    licence: Annotated[
        str | None, typer.Option(help="Licence of the pictures.", show_default=False)
    ] = None,
    consent: Annotated[
        str | None, typer.Option(help="How the people consented.", show_default=False)
    ] = None,
    split: Annotated[str, typer.Option(help="What the samples are for.")] = "tune",
    faces: FacesOption = "open",
    output: OutputOption = "table",
) -> None:
    """Read samples from JSON as UNO's training code does.

    A file that `umo data export` wrote says everything; for another one, licence and consent must
    be given, and the people are looked for.
    """
    with work_on_stderr():
        from umo.data.uno_json import Foreign, import_uno
        from umo.faces.packs import load_pack

        foreign = (
            Foreign(licence=licence, consent=consent, split=split) if licence and consent else None
        )
        made = import_uno(file, out, foreign, lambda: load_pack(faces))
    print_result({"folder": out, **made}, output)


@app.command()
def export(
    folder: FolderArgument,
    out: Annotated[Path, typer.Option(help="Folder for `samples.json` and the pictures.")],
    output: OutputOption = "table",
) -> None:
    """Write a dataset as JSON and PNG files, as UNO's training code reads them."""
    with work_on_stderr():
        from umo.data.uno_json import JSON, export_uno

        samples = export_uno(folder, out)
    print_result({"file": str(out / JSON), "samples": samples}, output)


@app.command()
def show(folder: FolderArgument, output: OutputOption = "table") -> None:
    """Verify a dataset's digests and show what it holds."""
    with work_on_stderr():
        from umo.data.check import verify
        from umo.data.shards import Dataset
        from umo.data.statistics import Statistics

        dataset = Dataset(folder)
        verify(dataset)
        statistics = dataset.manifest.get("statistics")
        if statistics is None:
            counted = Statistics()
            for row in dataset.rows():
                counted.add(row)
            statistics = counted.facts()
    if output == "json":
        facts = {"folder": folder, "digest": dataset.digest, "schema": dataset.version}
        print_json({**facts, **statistics})
        return
    print_facts(
        {
            "folder": folder,
            "digest": dataset.digest,
            "schema": dataset.version,
            **{
                name: ", ".join(f"{what}: {count}" for what, count in value.items())
                if isinstance(value, dict)
                else value
                for name, value in statistics.items()
            },
        }
    )


@app.command()
def check(folders: FoldersArgument, output: OutputOption = "table") -> None:
    """Look at every byte and sample of datasets, and that no identity is in two splits.

    Exit code 5 when something is wrong.
    """
    with work_on_stderr():
        from dataclasses import asdict

        from umo.data.check import check as look
        from umo.errors import DiffersError

        problems = look(folders)
    if output == "json":
        print_json({"problems": [asdict(problem) for problem in problems]})
    elif problems:
        rows = [[problem.count, problem.kind, problem.first] for problem in problems]
        print_table(rows, header=["samples", "problem", "first"])
    else:
        print_facts({"folders": ", ".join(folders), "problems": "none"})
    if problems:
        raise DiffersError(
            f"{len(problems)} kinds of problems in {', '.join(folders)}",
            hint="make the datasets again, or leave these samples out",
        )


for command in (data_change.merge, data_change.append, data_change.split, data_change.balance):
    app.command()(command)
app.command()(data_change.forget)
